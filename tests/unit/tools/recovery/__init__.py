"""Tests of tools.recovery."""
