"""Tests of tools.plan."""
