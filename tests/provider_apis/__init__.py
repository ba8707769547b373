"""Local servers that speak the documented APIs of providers, and break as networks do."""
