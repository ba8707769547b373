"""Bird: call control, subscriptions, `callhooks bird`.

Imports `providers.rest` and `stack`.
"""

COMMANDS = {
    "bird": ("callhooks_tools.providers.bird.command:bird_app", "Manage Bird's webhook subscriptions."),
}
