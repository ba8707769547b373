"""Who sends webhooks: one module for each provider.

Imports the floors below; no provider imports another.
"""
