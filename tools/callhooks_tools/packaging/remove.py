"""Delete a stack without subscribers: `python -m callhooks_tools.packaging.remove [OPTION OF SAM DELETE...]`.

`make remove` runs this.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from callhooks_tools.packaging.settings import Refused, Run, SamSettings, run_program
from callhooks_tools.stack.stack import ROOT


def remove(options: Sequence[str], run: Run, root: Path = ROOT) -> int:
    """Check that a stack can be removed, and delete it. Return the exit status of the command that failed, or 0.

    Raises:
        Refused: no stack is selected. Nothing was removed.
    """
    settings = SamSettings.of_removal(options, root)
    if settings.stack_name is None:
        raise Refused(
            f"samconfig.toml has no stack to remove for CONFIG={settings.environment}. Add "
            f'[{settings.environment}.delete.parameters] with stack_name = "NAME", or select another CONFIG.'
        )
    account = settings.account_options
    status = run(["callhooks", "check-removal", "--stack", settings.stack_name, *account], os.environ)
    if status != 0:
        return status
    # sam does not read the region and the profile that are set for `sam deploy`.
    return run(["sam", "delete", "--stack-name", settings.stack_name, *account, *options], os.environ)


if __name__ == "__main__":
    run_program(remove)
