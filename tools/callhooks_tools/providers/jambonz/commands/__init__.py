"""Commands about jambonz: `call`, `clients`, `jambonz`, `plan`, `tools`.

Imports what stands beside it, and `stack`.
"""
