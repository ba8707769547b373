"""Support for each provider: REST clients, subscriptions, commands.

Imports `stack`. No provider imports another, and no Lambda function imports any of them.
"""
