"""`make remove` deletes the stack, region and profile that the settings of `sam delete` name."""

from __future__ import annotations

from pathlib import Path

import pytest
from callhooks_tools.packaging.settings import SamSettings

CONFIG = """
[complete.global.parameters]
region = "eu-west-1"
profile = "everywhere"

[complete.deploy.parameters]
stack_name = "other"
region = "us-east-1"

[complete.delete.parameters]
stack_name = "callhooks"
profile = "removal"

[deployed.deploy.parameters]
stack_name = "other"
region = "us-east-1"
profile = "deployment"

[deployed.delete.parameters]
stack_name = "callhooks"

[shared.global.parameters]
stack_name = "callhooks"

[local.deploy.parameters]
stack_name = "callhooks"
region = "us-east-1"
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--config-env", "complete"], ("callhooks", "eu-west-1", "removal")),
        # `sam deploy --guided` saves these for `sam deploy` only.
        (["--config-env", "deployed"], ("callhooks", "us-east-1", "deployment")),
        (["--config-env", "shared"], ("callhooks", None, None)),
        (["--config-env", "complete", "--stack-name", "mine", "--region", "us-east-2", "--profile", "own"],
         ("mine", "us-east-2", "own")),
        (["--config-env", "local"], (None, "us-east-1", None)),
        (["--config-env", "unknown"], (None, None, None)),
    ],
)  # fmt: skip
def test_the_stack_is_the_one_that_is_set_for_its_removal(
    tmp_path: Path, options: list[str], expected: tuple[str | None, ...]
) -> None:
    (tmp_path / "samconfig.toml").write_text(CONFIG)
    settings = SamSettings.of_removal(options, tmp_path)
    assert (settings.stack_name, settings.region, settings.profile) == expected
