"""Checks of a deployed stack: `callhooks doctor`.

Imports `providers` and `stack`.
"""
