"""Tests of providers.jambonz.llm_tools."""
