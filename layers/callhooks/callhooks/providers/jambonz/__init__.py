"""jambonz's hooks: new call, action, events, client authentication, tools.

Imports `plan` and `llm_tools` beside it, and the floors below.
"""
