"""The local stack: AWS engine, HTTP front, layer build.

May import `stack`.
"""
