"""Work on stored events: replay, quarantine, removal of personal data.

Imports `providers` and `stack`.
"""
