"""Replay, quarantine, forgetting: what becomes of stored events later.

Imports `providers` and `stack`.
"""
