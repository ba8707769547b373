"""What a function runs on: HTTP events, settings, AWS clients, metrics, errors, cold start.

The lowest floor: imports nothing else of callhooks.
"""
