"""Folders and files that only their owner can read."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents, accessible only to the owner."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=stat.S_IRWXU, exist_ok=True)


def make_private(folder: Path) -> None:
    """Remove the access of other users from an existing folder and everything in it.

    Raises:
        PermissionError: a file in it belongs to another user.
    """
    _narrow(folder)
    # Links may point outside of the folder: uv links files of its cache into the build.
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            # Another run or test may be removing its files at the same time.
            with suppress(FileNotFoundError):
                _narrow(Path(parent, name))


def _narrow(path: Path) -> None:
    found = path.lstat()
    is_link = stat.S_ISLNK(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink > 1)
    if found.st_mode & OTHERS and not is_link:
        path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
