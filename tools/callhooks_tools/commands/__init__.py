"""One module for each command that is not specific to a provider.

May import every package except `cli`.
"""
