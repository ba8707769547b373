"""A provider is named only in its own folder: the rest of the layer and the command treats all providers alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from callhooks.providers.registry import find_provider, hints_for, providers
from callhooks_tools.stack.stack import ROOT

NAMES = re.compile("jambonz|graine|bird|wavix|voipstudio", re.IGNORECASE)
CODE = (ROOT / "layers" / "callhooks" / "callhooks", ROOT / "tools" / "callhooks_tools")


def names_in(path: Path) -> list[str]:
    lines = enumerate(path.read_text("utf-8").splitlines(), start=1)
    return [f"{path.relative_to(ROOT)}:{number}: {line.strip()}" for number, line in lines if NAMES.search(line)]


def test_only_files_in_provider_folders_name_a_provider() -> None:
    files = [path for folder in CODE for path in folder.rglob("*.py") if "providers" not in path.parts]
    assert len(files) > 50
    assert [line for path in files for line in names_in(path)] == []


def test_every_provider_is_found_by_its_module() -> None:
    assert list(providers()) == ["bird", "jambonz", "voipstudio", "wavix"]


@pytest.mark.parametrize("name", ["payload", "url_token", "registry", "unknown", "", "../wavix", "Wavix"])
def test_a_name_without_a_provider_finds_none(name: str) -> None:
    assert find_provider(name) is None
    assert not hints_for(name).repeats_answer_time
