"""The shared build: made once for the same sources, and never reused for changed ones."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from callhooks_tools.local import build as builds
from callhooks_tools.local.build import MAX_BUILDS, SOURCES, build_key, in_use, shared_build

from tests.support import ROOT


@dataclass
class Repository:
    """A few sources, a builder that copies one of them, and the number of builds."""

    root: Path
    built: int = 0
    while_building: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.write("template.yaml", "Resources: {}")
        self.write("functions/wavix_call/app.py", "handler = None")
        self.write("layers/call_plan/call_plan.yaml", "routes: []")
        self.write("layers/callhooks/requirements.txt", "pydantic==2.13.0")
        self.write("tools/callhooks_tools/packaging/layer_build.py", "")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def build(self, folder: Path) -> None:
        self.built += 1
        folder.mkdir()
        (folder / "plan").write_bytes((self.root / "layers/call_plan/call_plan.yaml").read_bytes())
        for action in self.while_building:
            action()

    def shared(self, target: str = "") -> Path:
        return shared_build(self.build, target=target, root=self.root, builds=self.root / ".local" / "builds")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_concurrent_runs_build_the_same_sources_once(repository: Repository) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: repository.shared(), range(8)))
    assert (len(folders), repository.built) == (1, 1)
    assert (folders.pop() / "plan").read_text() == "routes: []"


def test_another_target_is_built_separately(repository: Repository) -> None:
    assert len({repository.shared(target) for target in ("", "3.13 x86_64", "3.13 aarch64", "3.13 x86_64")}) == 3
    assert repository.built == 3


@pytest.mark.parametrize(
    "name",
    ["template.yaml", "samconfig.toml", "functions/wavix_call/app.py", "functions/jambonz_tool/tools/build/weather.py",
     "layers/call_plan/call_plan.yaml", "layers/callhooks/requirements.txt",
     "tools/callhooks_tools/packaging/layer_build.py"],
)  # fmt: skip
def test_a_changed_or_new_source_is_built_again(repository: Repository, name: str) -> None:
    before = repository.shared()
    repository.write(name, "changed")
    assert repository.shared() != before
    assert repository.built == 2


def test_a_removed_renamed_linked_or_executable_source_is_built_again(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> None:
    app, elsewhere = (
        repository.root / "functions/wavix_call/app.py",
        tmp_path_factory.mktemp("elsewhere") / "weather.py",
    )
    elsewhere.write_text("old")
    changes: list[Callable[[], object]] = [
        lambda: app.chmod(0o755),
        lambda: app.rename(app.with_name("handler.py")),
        lambda: app.with_name("handler.py").unlink(),
        lambda: (repository.root / "functions/tools").symlink_to(elsewhere.parent),
        lambda: elsewhere.write_text("new"),
    ]
    found = {repository.shared()}
    for change in changes:
        change()
        found.add(repository.shared())
    assert len(found) == repository.built == 1 + len(changes)


@pytest.mark.parametrize("part", ["Python", "platform", "package"])
def test_another_python_platform_or_package_builds_again(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    before = repository.shared()
    match part:
        case "Python":
            monkeypatch.setattr(sys, "version", "3.14.0")
        case "platform":
            monkeypatch.setattr(platform, "platform", lambda: "Linux-aarch64")
        case _:
            installed = builds.installed_packages()
            assert "pydantic" in {package.partition("==")[0] for package in installed}
            monkeypatch.setattr(builds, "installed_packages", lambda: installed[1:])
    assert repository.shared() != before


def test_bytecode_next_to_the_sources_is_ignored(repository: Repository) -> None:
    before = repository.shared()
    repository.write("functions/wavix_call/__pycache__/app.cpython-313.pyc", "bytecode")
    assert repository.shared() == before
    assert repository.built == 1


def test_sources_that_change_during_the_build_are_built_again(repository: Repository) -> None:
    def edit_once() -> None:
        repository.while_building.clear()
        repository.write("layers/call_plan/call_plan.yaml", "routes: [new]")

    repository.while_building.append(edit_once)
    folder = repository.shared()
    assert repository.built == 2
    assert (folder / "plan").read_text() == "routes: [new]"
    assert folder.name == build_key(repository.root)


def test_a_failed_build_is_discarded(repository: Repository) -> None:
    def fail() -> None:
        raise RuntimeError("no space left")

    repository.while_building.append(fail)
    with pytest.raises(RuntimeError, match="no space left"):
        repository.shared()
    repository.while_building.clear()
    assert (repository.shared() / "plan").exists()
    assert repository.built == 2
    assert [path.name for path in (repository.root / ".local/builds").iterdir() if path.is_dir()] == [
        build_key(repository.root)
    ]


def test_only_the_latest_builds_stay(repository: Repository) -> None:
    folders = []
    for number in range(MAX_BUILDS + 2):
        repository.write("template.yaml", str(number))
        folders.append(repository.shared())
        os.utime(folders[-1], (number, number))
    repository.shared()
    assert [folder.exists() for folder in folders] == [False] * 2 + [True] * MAX_BUILDS


def test_a_build_in_use_stays(repository: Repository) -> None:
    used = repository.shared()
    with in_use(used):
        for number in range(MAX_BUILDS + 2):
            repository.write("template.yaml", str(number))
            repository.shared()
            os.utime(used, (0, 0))
        assert used.exists()
    repository.shared()
    assert not used.exists()


def test_all_listed_sources_exist() -> None:
    assert all((ROOT / source).exists() for source in SOURCES)
    assert build_key(ROOT) == build_key(ROOT)
