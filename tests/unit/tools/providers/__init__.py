"""Tests of `callhooks_tools.providers`."""
