"""The recipe of the shared layer, in all time zones."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from callhooks_tools.packaging.layer_build import FIXED_TIME, set_fixed_times, size_of

from tests.time_zones import TIME_ZONES


@pytest.fixture(params=TIME_ZONES.values(), ids=list(TIME_ZONES))
def _time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the time zone of this process."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


def built(folder: Path) -> Path:
    (folder / "package").mkdir(parents=True)
    for name in ("package/__init__.py", "package/module.py", "top.py"):
        (folder / name).write_text(f"NAME = {name!r}\n")
    set_fixed_times(folder)
    return folder


@pytest.mark.usefixtures("_time_zone")
def test_a_build_can_be_zipped_and_has_the_same_times_in_every_zone(tmp_path: Path) -> None:
    folder = built(tmp_path / "layer")
    assert {path.stat().st_mtime for path in (folder, *folder.rglob("*"))} == {FIXED_TIME}
    with zipfile.ZipFile(tmp_path / "layer.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path)
    assert {one.date_time[0] for one in archive.infolist()} == {1980}


@pytest.mark.usefixtures("_time_zone")
def test_the_reported_size_depends_neither_on_the_zone_nor_on_the_times_of_files(tmp_path: Path) -> None:
    folder = built(tmp_path / "layer")
    first = size_of(folder)
    os.utime(folder / "top.py", (0, 0))
    assert size_of(folder) == first
    assert 0 < first.zipped < 1000
