"""Call plan check: reads a plan, checks it, and prepares it for the functions.

Imports only the layer.
"""
