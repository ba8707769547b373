"""Where a stack is: its outputs, its secrets, recorded deliveries, the terminal.

The lowest floor of the command: imports the layer alone.
"""
