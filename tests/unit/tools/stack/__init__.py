"""Tests of tools.stack."""
