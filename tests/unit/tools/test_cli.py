"""`callhooks` imports only the module of the command that it runs."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from callhooks_tools.cli import app
app(["secret", "--help"], standalone_mode=False)
commands = [name for name in sys.modules if name.startswith("callhooks_tools.") and "command" in name]
print(sorted({*commands, *({"httpx"} & set(sys.modules))}))
"""


def test_a_command_does_not_import_the_others() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['callhooks_tools.commands', 'callhooks_tools.commands.secret']"
