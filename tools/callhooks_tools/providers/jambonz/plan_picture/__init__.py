"""Draws a call plan.

Imports the layer alone.
"""
