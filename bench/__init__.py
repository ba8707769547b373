"""Benchmark: callhooks' functions, cold and warm, compared with common alternatives."""
