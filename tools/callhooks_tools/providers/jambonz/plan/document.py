"""A call plan as written: its YAML with the line of every member, and the problems found in it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml
from callhooks.providers.jambonz.plan.plan import HOOK
from pydantic import JsonValue
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

PlanPath: TypeAlias = tuple[int | str, ...]
"""Path from the top of the plan to a value: names and positions."""


MAX_NODES = 200_000
MAX_NUMBER = 10**15
NEXT = "next"
"""Name in the plan for the hook through which a verb reports back."""
REFUSED_KEYS = ("<<", HOOK)
"""YAML's merge key, and the marker of a hook in the prepared plan."""


@dataclass(frozen=True, slots=True)
class PlanProblem:
    """A fault of a plan: the message, the place, and the line of the file (from 1) if known."""

    message: str
    place: PlanPath = ()
    line: int | None = None

    def __str__(self) -> str:
        place = place_text(self.place)
        return f"{place}: {self.message}" if place else self.message

    def located(self, file: Path, label: str = "") -> str:
        """Return the problem after its file and line, as compilers print errors. `label` is `warning: ` or similar."""
        return f"{file}:{self.line}: {label}{self}" if self.line else f"{file}: {label}{self}"


class PlanProblems(Exception):
    """The call plan has faults; `problems` holds all of them."""

    def __init__(self, problems: Collection[PlanProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class PlanDocument:
    """Members of a plan, with the line of each."""

    def __init__(self, members: Mapping[str, JsonValue], lines: Mapping[PlanPath, int]) -> None:
        self.members = members
        self._lines = lines

    def line_of(self, place: PlanPath) -> int | None:
        """Return the line of a place or of the nearest value around it; for a flow in Python, the line of `python`."""
        written = self._written_place(place)
        for end in range(len(written), 0, -1):
            nearest = written[:end]
            if nearest not in self._lines:
                nearest = tuple(NEXT if str(part).endswith("Hook") else part for part in nearest)
            if nearest in self._lines:
                return self._lines[nearest]
        return None

    def named_as_written(self, place: PlanPath) -> PlanPath:
        """Return a place of the prepared plan with `next` for a hook that the file calls `next`."""
        named: PlanPath = tuple(NEXT if str(part).endswith("Hook") else part for part in place)
        is_written = self._written_place(place) in self._lines
        return named if not is_written and self._written_place(named) in self._lines else place

    def _written_place(self, place: PlanPath) -> PlanPath:
        """Return the place as written, for a flow in the long form or a verb in the short form, `{say: {text: Hi}}`."""
        flows = self.members.get("flows")
        match place:
            case ("flows", str(name), *_) if "python" in self.members and not (
                isinstance(flows, dict) and name in flows
            ):
                return ("python",)
            case ("flows", str(name), int(number), *rest):
                flow = flows.get(name) if isinstance(flows, dict) else None
                verbs: PlanPath = ("flows", name, "verbs") if isinstance(flow, dict) else ("flows", name)
                written = flow.get("verbs") if isinstance(flow, dict) else flow
                item = written[number] if isinstance(written, list) and number < len(written) else None
                if isinstance(item, dict) and "verb" not in item and rest and rest[0] not in item:
                    outer = next((key for key in item if key != NEXT), str(rest[0]))
                    return (*verbs, number, outer, *rest)
                return (*verbs, number, *rest)
        return place


def read_document(path: Path) -> PlanDocument:
    """Read the file of a plan.

    Raises:
        PlanProblems: the file is not UTF-8, not YAML, or not a mapping.
        OSError: the file cannot be read.
    """
    try:
        text = path.read_text("utf-8")
        root = yaml.compose(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        raise PlanProblems([PlanProblem("not UTF-8: save the file as UTF-8")]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = f"U+{ord(text[error.position]):04X}"
        raise PlanProblems([PlanProblem(f"not YAML: contains {code}, which YAML does not allow", line=line)]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        hint = "; a string with , : ? # { } [ or ] needs quotes"
        raise PlanProblems([PlanProblem(f"not YAML: {reason}{hint}", line=mark.line + 1 if mark else None)]) from error
    except RecursionError as error:
        raise PlanProblems([PlanProblem("nested too deeply")]) from error
    if not isinstance(root, MappingNode):
        raise PlanProblems([PlanProblem("the plan must be a mapping with routes, flows and fallback")])
    reader = _NodeReader()
    members = reader.read(root, ())
    if reader.problems:
        raise PlanProblems(reader.problems)
    assert isinstance(members, dict)  # noqa: S101 - a mapping node makes a dictionary
    return PlanDocument(members, reader.lines)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return a suggestion to append to the message about an unknown word; empty if no known word is similar."""
    guesses = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {guesses[0]!r}?" if guesses else ""


def place_text(place: PlanPath) -> str:
    """Format a place for messages: `flows.menu[0].say`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _with_pairs_joined(text: str) -> str:
    """Join the surrogate pairs in a string, so that an emoji written as two escapes is one character, as in JSON."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Loader(yaml.SafeLoader):
    """YAML loader that reads dates as text."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _NodeReader:
    """Converter of YAML nodes to JSON. Keys stay text as written, so 1 and 01 are two keys."""

    def __init__(self) -> None:
        self.lines: dict[PlanPath, int] = {}
        self.problems: list[PlanProblem] = []
        self._scalars = _Loader("")
        self._open: set[int] = set()
        self._nodes = 0

    def read(self, node: Node, place: PlanPath) -> JsonValue:
        line = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise PlanProblems([PlanProblem(f"has more than {MAX_NODES} parts", place, line)])
        if id(node) in self._open:
            self.problems.append(PlanProblem("contains itself", place, line))
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return dict(self._members(node, place))
            if isinstance(node, SequenceNode):
                return [self.read(member, (*place, number)) for number, member in enumerate(node.value)]
            return self._scalar(node, place, line)
        finally:
            self._open.remove(id(node))

    def _members(self, node: MappingNode, place: PlanPath) -> Iterator[tuple[str, JsonValue]]:
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                self.problems.append(PlanProblem("a key must be a plain text", place, line))
                continue
            if key.value in REFUSED_KEYS:
                self.problems.append(PlanProblem(f"the key {key.value} is not allowed in a plan", place, line))
            if key.value in seen:
                self.problems.append(
                    PlanProblem(f"duplicate key {key.value!r}: rename or remove one of them", place, line)
                )
            seen.add(key.value)
            self.lines[*place, key.value] = line
            yield key.value, self.read(value, (*place, key.value))

    def _scalar(self, node: Node, place: PlanPath, line: int) -> JsonValue:
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError, TypeError) as error:
            self.problems.append(PlanProblem(f"not YAML: {getattr(error, 'problem', None) or error}", place, line))
            return None
        if isinstance(value, str):
            return _with_pairs_joined(value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_NUMBER:
            self.problems.append(
                PlanProblem("the number is too large; if it is a string, put it in quotes", place, line)
            )
            return None
        if value is None or isinstance(value, bool | int | float):
            return value
        self.problems.append(
            PlanProblem(f"{node.value!r} is neither a string nor a number; put it in quotes", place, line)
        )
        return None
