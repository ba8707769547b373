"""Integration tests: functions and commands against AWS doubles in the same process."""
