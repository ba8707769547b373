"""End-to-end tests: the deployed template on the local engine, called over HTTP and with the command."""
