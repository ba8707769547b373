"""jambonz: REST API, account, call plan, simulated phone, and their commands.

Imports `providers.rest` and `stack`.
"""

COMMANDS = {
    "plan": (
        "callhooks_tools.providers.jambonz.commands.plan:plan_app",
        "Check the call plan, draw it, or try a call on it.",
    ),
    "clients": (
        "callhooks_tools.providers.jambonz.commands.clients:clients_app",
        "Manage the SIP clients that may register and place calls.",
    ),
    "jambonz": (
        "callhooks_tools.providers.jambonz.commands.jambonz:jambonz_app",
        "Connect a jambonz account to the stack.",
    ),
    "call": ("callhooks_tools.providers.jambonz.commands.call:call", "Simulate a phone call to a stack."),
    "tools": (
        "callhooks_tools.providers.jambonz.commands.tools:tools",
        "List the tools that language models can call.",
    ),
    "sign": ("callhooks_tools.providers.jambonz.commands.sign:sign", "Print jambonz's signature header for curl."),
}
