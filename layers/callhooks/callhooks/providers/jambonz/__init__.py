"""jambonz's hooks: new call, action, events, client authentication, tools.

Imports `plan`, `llm_tools`, the shared modules of `providers`, and the packages that `providers` may import.
"""
