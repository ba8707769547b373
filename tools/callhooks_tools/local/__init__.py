"""The local run: AWS engine, HTTP front, layer build.

Imports `stack`.
"""
