"""Access to a stack: outputs, secrets, recorded deliveries, terminal output.

The lowest layer of the command. Imports only the callhooks package.
"""
