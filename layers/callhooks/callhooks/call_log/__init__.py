"""The API and the page of the call log: routes, listing, timeline, session.

Imports `calls`, `webhooks`, `events` and `runtime`.
"""
