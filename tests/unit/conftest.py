"""Unit tests touch no network, and no AWS settings of the user."""

import os

import pytest
from pytest_socket import disable_socket

# Also while the tests are collected, when some of them process the template.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]


@pytest.fixture(autouse=True)
def _no_network() -> None:
    disable_socket(allow_unix_socket=True)
