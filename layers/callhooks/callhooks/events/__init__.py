"""One delivery, normalised, and how it is stored once: event, item, table, writer, spill queue.

Imports `runtime`.
"""
