"""One module or package for each provider: verify, parse, key and normalise, as pure functions."""
