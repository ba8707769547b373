"""One module for each command of `callhooks` that is not a provider's own.

Imports every package but `cli`.
"""
