"""`callhooks sam-local` in containers, against the local stack."""
