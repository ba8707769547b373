"""jambonz: REST API, account, call plan, simulated phone, and their commands.

Imports `providers.rest` and `stack`.
"""
