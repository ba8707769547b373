"""Tools that language models call: their declarations and their execution.

Imports `calls`, `events` and `runtime`; no jambonz webhook.
"""
