"""Call log: its JSON API and the console page.

Imports `calls`, `webhooks`, `events` and `runtime`.
"""
