"""jambonz: REST API, account, call plan, simulated phone, and their commands.

Imports `providers.rest` and `stack`.
"""

COMMANDS = {
    "plan": "callhooks_tools.providers.jambonz.commands.plan:plan_app",
    "clients": "callhooks_tools.providers.jambonz.commands.clients:clients_app",
    "jambonz": "callhooks_tools.providers.jambonz.commands.jambonz:jambonz_app",
    "call": "callhooks_tools.providers.jambonz.commands.call:call",
    "tools": "callhooks_tools.providers.jambonz.commands.tools:tools",
    "sign": "callhooks_tools.providers.jambonz.commands.sign:sign",
}
