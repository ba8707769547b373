"""`make deploy` and `make remove` use the stack, region and profile of sam's options and of `samconfig.toml`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from callhooks_tools.packaging.settings import Refused, SamSettings

CONFIG = """
[default.deploy.parameters]
stack_name = "callhooks"

[default.delete.parameters]
stack_name = "callhooks"

[prod.global.parameters]
region = "eu-west-1"
profile = "everywhere"

[prod.deploy.parameters]
stack_name = "deployed"
region = "us-east-1"
profile = "deployment"

[prod.delete.parameters]
stack_name = "deleted"
profile = "removal"

[guided.deploy.parameters]
stack_name = "callhooks"
region = "us-east-1"
profile = "deployment"

[guided.delete.parameters]
stack_name = "callhooks"

[shared.global.parameters]
stack_name = "callhooks"

[local.deploy.parameters]
stack_name = "callhooks"
region = "us-east-1"
"""
OWN = ("--stack-name", "mine", "--region", "us-east-2", "--profile", "own")
Read = Callable[[Sequence[str], Path], SamSettings]
DEPLOYMENT: Read = SamSettings.of_deployment
REMOVAL: Read = SamSettings.of_removal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "samconfig.toml").write_text(CONFIG)
    return tmp_path


@pytest.mark.parametrize(
    ("read", "options", "expected"),
    [
        (DEPLOYMENT, [], ("callhooks", None, None)),
        (DEPLOYMENT, ["--config-env", "prod"], ("deployed", "us-east-1", "deployment")),
        (DEPLOYMENT, ["--config-env", "prod", *OWN], ("mine", "us-east-2", "own")),
        (DEPLOYMENT, ["--stack-name=mine", "--no-confirm-changeset", "--tags", "a=b c=d"], ("mine", None, None)),
        (DEPLOYMENT, ["--config-env", "shared"], ("callhooks", None, None)),
        (DEPLOYMENT, ["--config-env", "unknown"], (None, None, None)),
        (REMOVAL, [], ("callhooks", None, None)),
        (REMOVAL, ["--config-env", "prod"], ("deleted", "eu-west-1", "removal")),
        (REMOVAL, ["--config-env", "prod", *OWN], ("mine", "us-east-2", "own")),
        # `sam deploy --guided` saves region and profile for `sam deploy` only.
        (REMOVAL, ["--config-env", "guided"], ("callhooks", "us-east-1", "deployment")),
        (REMOVAL, ["--config-env", "shared"], ("callhooks", None, None)),
        (REMOVAL, ["--config-env", "local"], (None, "us-east-1", None)),
        (REMOVAL, ["--config-env", "unknown"], (None, None, None)),
    ],
)
def test_the_stack_is_the_one_that_sam_uses(
    folder: Path, read: Read, options: list[str], expected: tuple[str | None, ...]
) -> None:
    settings = read(options, folder)
    assert (settings.stack_name, settings.region, settings.profile) == expected


@pytest.mark.parametrize("read", [DEPLOYMENT, REMOVAL])
@pytest.mark.parametrize(
    ("name", "reason"), [("none.toml", "none.toml: No such file"), ("samconfig.yaml", "samconfig.yaml is not TOML: ")]
)
def test_a_file_that_cannot_be_read_is_refused_with_its_name(folder: Path, read: Read, name: str, reason: str) -> None:
    (folder / "samconfig.yaml").write_text("default:\n  deploy: {}\n")
    with pytest.raises(Refused, match=reason):
        read(["--config-file", name], folder)
