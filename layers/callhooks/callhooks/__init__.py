"""The package that the functions share: floors from `runtime` up to `providers` and `call_log`.

A package imports only from the floors below it; the order is declared in pyproject.toml and checked by `make check`.
"""
