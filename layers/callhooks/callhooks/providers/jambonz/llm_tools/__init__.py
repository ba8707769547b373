"""Tools that language models call: their declaration and how they are run.

Imports `calls`, `events` and `runtime`; no hook of jambonz.
"""
