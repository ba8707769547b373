"""Wavix: call control, subscriptions, `callhooks wavix`.

Imports `providers.rest` and `stack`.
"""
