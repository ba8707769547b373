"""HTTP clients of providers' REST APIs: requests, retries, errors.

Imports `stack`.
"""
