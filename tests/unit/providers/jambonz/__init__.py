"""Tests of providers.jambonz."""
