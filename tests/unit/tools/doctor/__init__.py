"""Tests of tools.doctor."""
