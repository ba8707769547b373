"""The `callhooks` command and the local run of the whole application."""
