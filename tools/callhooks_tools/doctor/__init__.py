"""What `callhooks doctor` looks at.

Imports `providers` and `stack`.
"""
