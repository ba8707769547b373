"""What the command does for each provider: REST clients, subscriptions, commands of its own.

Imports `stack`; no provider imports another, and no function imports any.
"""
