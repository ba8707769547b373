"""The call plan at run time: which verbs answer a call.

Imports `events` and `runtime`; no hook of jambonz.
"""
