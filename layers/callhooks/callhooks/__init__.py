"""callhooks: every voice webhook answered, verified and kept exactly once."""
