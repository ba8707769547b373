"""VoIPstudio: call control.

Imports `providers.rest`.
"""
