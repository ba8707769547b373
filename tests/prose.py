"""`make check-prose`: find phrases that are hard to read, and suggest plain ones.

It reads documents, messages, comments, docstrings and names of tests. `[tool.prose]` in pyproject.toml maps a regular
expression of each phrase to a suggestion. Code blocks, inline code and quotations are skipped.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import typer
from callhooks_tools.stack.stack import ROOT
from callhooks_tools.stack.terminal import console

CHECKED = ("*.md", "*.py", "*.html", "*.js", "*.yml", "*.yaml", "*Makefile", ".ci/run")
SKIPPED = ("*/verbs_0_9.yaml", "tests/unit/project/test_prose.py")
PHRASES = {
    re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE): suggestion
    for pattern, suggestion in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["prose"].items()
}
_QUOTED = re.compile(r"`[^`\n]*`|\"[^\"\n]*\"")
_CODE_BLOCK = re.compile(r"^```.*?^```$|^ {4}[^\n]*$|^>[^\n]*$", re.DOTALL | re.MULTILINE)
_JAVASCRIPT_PROSE = re.compile(r"//[^\n]*|/\*.*?\*/|`[^`]*`|\"[^\"\n]*\"|'[^'\n]*'", re.DOTALL)
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DOCSTRING_START = re.compile(r"(What|Where|Whether|Who|Whom|Whose)\b")


class Finding(NamedTuple):
    """A phrase in a line, and a plain one."""

    line: int
    phrase: str
    suggestion: str


def find(text: str, first_line: int = 1) -> Iterator[Finding]:
    """Yield the findings in a text."""
    for pattern, suggestion in PHRASES.items():
        for match in pattern.finditer(text):
            line = first_line + text.count("\n", 0, match.start())
            yield Finding(line, " ".join(match[0].split()), suggestion)


def find_in_markdown(text: str) -> Iterator[Finding]:
    """Yield the findings in a document."""
    yield from find(_without(_QUOTED, _without(_CODE_BLOCK, text)))


def find_in_javascript(source: str) -> Iterator[Finding]:
    """Yield the findings in the comments and strings of a script."""
    for match in _JAVASCRIPT_PROSE.finditer(source):
        yield from find(match[0], source.count("\n", 0, match.start()) + 1)


def find_in_python(source: str) -> Iterator[Finding]:
    """Yield the findings in the comments, strings, docstrings and test names of a module."""
    for first_line, comment in _comments_in(source):
        yield from find(_without(_QUOTED, comment), first_line)
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(ast.Constant(str() as text)) if start := _DOCSTRING_START.match(text):
                yield Finding(node.lineno, start[0], "a verb in the imperative, or a noun")
            case ast.Constant(str() as text) if " " in text:
                yield from find(_without(_QUOTED, text), node.lineno)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name.startswith("test_"):
                yield from find(name.replace("_", " "), node.lineno)
            case ast.ClassDef(name=name) if name.startswith("Test"):
                yield from find(_CAPITAL.sub(" ", name), node.lineno)


def _comments_in(source: str) -> Iterator[tuple[int, str]]:
    """Yield the first line and the text of each comment. A comment of several lines is one text."""
    text, first_line, last = "", 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        row, column = token.start
        if text and (row, column) == (last[0] + 1, last[1]):
            text = f"{text}\n{token.string.lstrip('#')}"
        else:
            if text:
                yield first_line, text
            text, first_line = token.string, row
        last = (row, column)
    if text:
        yield first_line, text


def _without(pattern: re.Pattern[str], text: str) -> str:
    """Blank out what a pattern matches, without joining the words around it or changing the number of lines."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", "_", match[0]), text)


def find_in_file(path: Path) -> list[Finding]:
    """Return the findings in a file, in order."""
    find_in = {".md": find_in_markdown, ".js": find_in_javascript, ".py": find_in_python}.get(path.suffix, find)
    return sorted(set(find_in(path.read_text("utf-8"))))


def main() -> None:
    """Print every finding, and fail if there are any."""
    patterns = (*CHECKED, *(f":!{path}" for path in SKIPPED))
    files = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT, text=True)
    names = sorted({name for name in files.splitlines() if (ROOT / name).exists()})  # git also lists deleted files
    findings = [(name, one) for name in names for one in find_in_file(ROOT / name)]
    for name, (line, phrase, suggestion) in findings:
        console.print(f'{name}:{line}: "{phrase}": write {suggestion}', soft_wrap=True, markup=False, highlight=False)
    raise typer.Exit(bool(findings))


if __name__ == "__main__":
    typer.run(main)
