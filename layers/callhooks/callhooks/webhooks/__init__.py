"""The webhook pipeline, its credentials, and the setup of a function.

Imports `events` and `runtime`.
"""
