"""Following up a call by its provider's REST API: look at it, transfer it, end it, fetch its records and recordings.

One module for each provider. They need the extra `control` of the package, and no function of the stack imports them.
"""
