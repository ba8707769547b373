"""Tests of tools.local."""
