"""The start of a function: imported as early as can be, `done` when all is made.

There is no garbage while modules are imported, and looking for it takes about a twentieth of a cold start.
"""

from __future__ import annotations

import gc

gc.disable()


def done() -> None:
    """Look for garbage again, but no more among what the start has made: it stays for the life of the container."""
    gc.freeze()
    gc.enable()
