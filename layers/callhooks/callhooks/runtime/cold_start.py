"""Switch garbage collection off during a cold start: import this module first, and call `freeze_gc` last.

Imports make no garbage, and looking for it takes about a twentieth of a cold start.
"""

from __future__ import annotations

import gc

gc.disable()


def freeze_gc() -> None:
    """Switch garbage collection on again, for what is made from here on."""
    gc.freeze()
    gc.enable()
