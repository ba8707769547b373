"""Calls built from their events: fold, repository, projector, event bus.

Imports `events` and `runtime`.
"""
