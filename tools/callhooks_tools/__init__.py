"""The `callhooks` command, in layers from `stack` up to `cli`.

A package imports only from the layers below it. pyproject.toml declares the order; `make check` enforces it.
"""
