"""Each webhook put together, in a module of its own so that a function imports only what it serves."""
