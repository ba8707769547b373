"""Fault injection: the promises hold while a proxy breaks AWS services for the deployed functions."""
