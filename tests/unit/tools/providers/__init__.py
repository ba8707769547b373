"""Tests of tools.providers."""
