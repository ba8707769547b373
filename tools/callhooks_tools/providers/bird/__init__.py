"""Bird: call control, subscriptions, `callhooks bird`.

Imports `providers.rest` and `stack`.
"""
