"""The call plan at run time: the verbs that answer a call.

Imports `events` and `runtime`; no jambonz webhook.
"""
