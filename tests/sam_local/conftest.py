"""Fixtures: a local stack, and the image in which `sam local` runs its functions."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from callhooks_tools.local.containers import Docker, SamLocalFailed

from tests.running_stack import RunningStack, deployment_for
from tests.sam_local.stand_in_image import NoPython, make_image


@pytest.fixture(scope="session")
def image() -> str:
    """Return an image that stands in for Lambda's; skip the tests if Docker or Python is missing."""
    try:
        Docker().bridge()
        return make_image()
    except (SamLocalFailed, NoPython) as error:
        if os.environ.get("CALLHOOKS_REQUIRE_DOCKER"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def running(image: str) -> Iterator[RunningStack]:
    with deployment_for("test-sam-local") as running:
        yield running


@pytest.fixture(autouse=True)
def _removes_its_containers(image: str) -> Iterator[None]:
    before = function_containers()
    yield
    assert function_containers() <= before


def function_containers() -> set[str]:
    """Return the ids of all containers of sam local."""
    listed = ["docker", "ps", "--all", "--quiet", "--filter", "label=sam.cli.container.type=lambda"]
    return set(subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split())
