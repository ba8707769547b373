"""Reads and checks a call plan, and prepares it for the functions.

Imports the layer alone.
"""
