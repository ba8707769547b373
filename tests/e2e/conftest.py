"""One deployment for all tests that only call it."""

from tests.running_stack import running

__all__ = ["running"]
