"""Runtime support for the functions: HTTP events, settings, AWS clients, metrics, errors, cold start.

The lowest layer: imports nothing else from callhooks.
"""
