"""The `callhooks` command: floors from `stack` up to `cli`.

A package imports only from the floors below it; the order is declared in pyproject.toml and checked by `make check`.
"""
