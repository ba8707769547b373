"""Commands for jambonz: `call`, `clients`, `jambonz`, `plan`, `sign`, `tools`.

Imports the packages next to it, and `stack`.
"""
