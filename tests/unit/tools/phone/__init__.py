"""Tests of tools.phone."""
