"""Wavix: call control, subscriptions, `callhooks wavix`.

Imports `providers.rest` and `stack`.
"""

COMMANDS = {
    "wavix": ("callhooks_tools.providers.wavix.command:wavix_app", "Manage Wavix's webhook subscriptions."),
}
