"""docs/architecture.md draws the packages and imports of the code, and names files that exist."""

from __future__ import annotations

import re
from functools import cache

import grimp
import pytest

from tests.support import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
FOLDERS = {
    "callhooks": ROOT / "layers" / "callhooks" / "callhooks",
    "callhooks_tools": ROOT / "tools" / "callhooks_tools",
}
MAX_MODULES = 14


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("callhooks", "callhooks_tools", cache_dir=None)


def arrows_in_code(root: str) -> set[tuple[str, str]]:
    """Return the imports between the packages and modules directly below a package."""
    graph, children = imports(), imports().find_children(root)
    return {
        (importer.rpartition(".")[2], imported.rpartition(".")[2])
        for importer in children
        for imported in children - {importer}
        if graph.direct_import_exists(importer=importer, imported=imported, as_packages=True)
    }


def picture_of(root: str) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the boxes and arrows in the picture of a package."""
    (picture,) = re.findall(rf"```mermaid\n%% {root}\n(.*?)```", PAGE, re.DOTALL)
    boxes = set(re.findall(r"^ +(\w+)\[", picture, re.MULTILINE))
    return boxes, set(re.findall(r"^ +(\w+) --> (\w+)$", picture, re.MULTILINE))


@pytest.mark.parametrize("root", FOLDERS)
def test_the_picture_shows_the_packages_and_imports_of_the_code(root: str) -> None:
    boxes, arrows = picture_of(root)
    assert boxes == {child.rpartition(".")[2] for child in imports().find_children(root)}
    assert arrows == arrows_in_code(root)


@pytest.mark.parametrize("root", FOLDERS)
def test_a_package_has_few_modules_and_documents_its_imports(root: str) -> None:
    packages = [path.parent for path in FOLDERS[root].rglob("__init__.py")]
    module_counts = {str(package): len(list(package.glob("*.py"))) - 1 for package in packages}
    assert {name: count for name, count in module_counts.items() if count > MAX_MODULES} == {}
    docstrings = {str(package): (package / "__init__.py").read_text("utf-8") for package in packages}
    assert [
        name for name, text in docstrings.items() if not re.match(r'""".*\bimports?\b.*"""', text, re.DOTALL | re.I)
    ] == []


def test_every_file_named_on_the_page_exists() -> None:
    paths = re.findall(r"`((?:layers|functions|tools|tests|events|docs)/[\w./-]+|template\.yaml)`", PAGE)
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []
