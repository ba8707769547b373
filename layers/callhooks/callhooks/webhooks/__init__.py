"""The pipeline of every webhook, its credentials, and how a function is put together.

Imports `events` and `runtime`.
"""
