"""Deliveries in the common vocabulary, stored exactly once: event, item, table, writer, spill queue.

Imports `runtime`.
"""
