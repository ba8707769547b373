"""Checks of the project itself: its documents, its architecture and its test settings."""
