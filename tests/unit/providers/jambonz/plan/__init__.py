"""Tests of providers.jambonz.plan."""
