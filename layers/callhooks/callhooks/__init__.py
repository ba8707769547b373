"""The package that the functions share, in layers from `runtime` up to `providers` and `call_log`.

A package imports only from the layers below it. pyproject.toml declares the order, and `make check` enforces it.
"""
