"""The call that its events make: fold, repository, projector, event bus.

Imports `events` and `runtime`.
"""
