"""The local stack: AWS engine, HTTP front.

May import `stack`.
"""
