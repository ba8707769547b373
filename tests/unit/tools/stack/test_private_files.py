"""Private files are accessible only to their owner. Files outside of the folder stay unchanged."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from callhooks_tools.stack.private_files import make_private, make_private_folder


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_new_folder_and_its_missing_parents_are_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path / "local" / "run")
    make_private_folder(tmp_path / "local" / "run")
    assert [mode_of(tmp_path / name) for name in (".", "local", "local/run")] == [0o755, 0o700, 0o700]


def test_existing_files_become_private_but_link_targets_do_not(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    folder = tmp_path / "local"
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "engine.log").touch()
    (folder / "run" / "program").touch(0o755)
    (folder / "link").symlink_to(elsewhere)
    (folder / "cached").hardlink_to(elsewhere / "file")

    make_private(folder)

    modes = {str(path.relative_to(tmp_path)): mode_of(path) for path in tmp_path.rglob("*") if not path.is_symlink()}
    assert modes == {
        "elsewhere": 0o755,
        "elsewhere/file": 0o644,
        "local": 0o700,
        "local/cached": 0o644,
        "local/run": 0o700,
        "local/run/engine.log": 0o600,
        "local/run/program": 0o700,
    }
