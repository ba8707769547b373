"""Providers of webhooks: one module for each provider.

Imports `calls`, `events`, `runtime` and `webhooks`. No provider imports another.
"""
