"""Build the call plan layer: `python -m callhooks_tools.providers.jambonz.plan.layer_build PLAN FOLDER`.

`sam build` runs this in a small environment that has only requirements/build.txt, so it imports nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path

from callhooks_tools.providers.jambonz.plan.builder import read_plan_file, write_package
from callhooks_tools.providers.jambonz.plan.document import PlanProblems


def main(file: Path, folder: Path) -> None:
    """Check a call plan, and write the package `callhooks_plan` into a folder. Exit with the errors of the plan."""
    try:
        prepared = read_plan_file(file)
    except OSError as error:
        sys.exit(f"{file}: {error.strerror}")
    except PlanProblems as error:
        sys.exit("\n".join(problem.located(file) for problem in error.problems))
    write_package(prepared, folder)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
