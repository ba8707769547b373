"""The picture of a call plan: routes, flows, and the outcomes that connect them, as SVG and as Mermaid.

The card of a flow lists every outcome next to the flow that it leads to, so the picture is readable without following
the lines. Lines leave at the right and run downwards; backward lines leave and arrive at the left. The end of a call is
a mark on the card, without a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from xml.etree import ElementTree as ET

from callhooks_tools.providers.jambonz.plan_picture.layered_layout import Box, Point, Wire, lay_out, layers_of
from callhooks_tools.providers.jambonz.plan_picture.text_fitting import clean, text_width, wrap


class Shape(StrEnum):
    """Kind of a node."""

    ENTRY = "entry"
    """A route, with its conditions."""
    FLOW = "flow"
    END = "end"
    """The call ends."""
    OUTSIDE = "outside"
    """A URL or an application elsewhere."""


@dataclass(frozen=True, slots=True)
class Node:
    """A route, a flow with one line for each verb, an end, or a target outside the plan."""

    id: str
    shape: Shape
    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """Connection of two nodes: the outcomes, and the index of their line in the source."""

    source: str
    target: str
    labels: tuple[str, ...]
    source_line: int | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """A call plan to draw. No edge leads to a route or from an end."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        nodes = {node.id: node for node in self.nodes}
        if len(nodes) < len(self.nodes):
            raise ValueError("two nodes have the same id")
        for edge in self.edges:
            source, target = nodes.get(edge.source), nodes.get(edge.target)
            if source is None or target is None:
                raise ValueError(f"an edge from {edge.source!r} to {edge.target!r} has no such node")
            if source.shape is Shape.END or target.shape is Shape.ENTRY:
                raise ValueError(f"an edge cannot lead from {edge.source!r} to {edge.target!r}")
            if edge.source_line is not None and not 0 <= edge.source_line < len(source.lines):
                raise ValueError(f"{edge.source!r} has no line {edge.source_line}")


def _outcome(edge: Edge) -> str:
    """Return the outcomes of an edge in one line; empty if there are none."""
    return ", ".join(filter(None, map(clean, edge.labels)))


# -- Mermaid

_MERMAID_SHAPES = {Shape.ENTRY: '(["{}"])', Shape.FLOW: '["{}"]', Shape.END: '(["{}"])', Shape.OUTSIDE: '[["{}"]]'}
_MERMAID_LINE = 88


def to_mermaid(graph: Graph) -> str:
    """Return the plan as a Mermaid flowchart; each flow in which a call ends has a separate end node."""
    nodes = {node.id: node for node in graph.nodes}
    names = {node.id: f"n{number}" for number, node in enumerate(graph.nodes)}
    # A title cannot contain character codes, so remove everything that could be HTML.
    title = clean(re.sub("[<>&]", " ", graph.title))
    lines = ["---", f"title: {json.dumps(title)}", "---", "flowchart TD"]

    def define(name: str, node: Node) -> None:
        rows = [f"<b>{_mermaid_text(node.title)}</b>", *map(_mermaid_text, node.lines)]
        lines.append(f"    {name}{_MERMAID_SHAPES[node.shape].format('<br>'.join(rows))}:::{node.shape}Node")

    for node in graph.nodes:
        if node.shape is not Shape.END:
            define(names[node.id], node)
    ends: dict[tuple[str, str], str] = {}
    for edge in graph.edges:
        target = names[edge.target]
        if nodes[edge.target].shape is Shape.END:
            if (edge.source, edge.target) not in ends:
                ends[edge.source, edge.target] = f"{target}x{len(ends)}"
                define(ends[edge.source, edge.target], nodes[edge.target])
            target = ends[edge.source, edge.target]
        outcome = _outcome(edge)
        label = f'|"{_mermaid_text(outcome)}"|' if outcome else ""
        lines.append(f"    {names[edge.source]} -->{label} {target}")
    lines += [
        "    classDef entryNode stroke:#1d4ed8,stroke-width:2px",
        "    classDef flowNode text-align:left",
        "    classDef endNode stroke:#b91c1c",
        "    classDef outsideNode stroke-dasharray:5 4",
    ]
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    """Escape a string for Mermaid, Markdown and HTML: all but letters, digits, spaces and commas become codes."""
    text = clean(text)
    if len(text) > _MERMAID_LINE:
        text = text[: _MERMAID_LINE - 1].rstrip() + "…"
    return "".join(char if char.isalnum() or char in " ," else f"#{ord(char)};" for char in text)


# -- SVG

_MAX_ROOM, _MIN_ROOM = 320.0, 120.0
_MAX_VERB_LENGTH = 16
_PADDING = 14.0
_PAGE = 28.0
_TITLE, _TEXT, _SMALL, _HEADING = 15.0, 13.0, 12.5, 20.0
_ROW = 18.0

# Hues of target flows, for light and dark. Each has a contrast of at least 4.5 with the card.
_HUES = (
    ("#1d4ed8", "#84b2ff"), ("#b04a06", "#f7a955"), ("#157038", "#63d68d"), ("#7e22ce", "#cb9cff"),
    ("#0b6a85", "#55d0e8"), ("#be185d", "#ff93c3"), ("#4a700e", "#b6dc60"), ("#7a5a00", "#e5c84f"),
)  # fmt: skip
_LIGHT = {"page": "#ffffff", "card": "#ffffff", "band": "#eef2f7", "edge": "#94a3b8", "ink": "#0f172a",
          "soft": "#475569", "pill": "#0f172a", "on-pill": "#ffffff", "end": "#b91c1c"}  # fmt: skip
_DARK = {"page": "#0d1117", "card": "#161d27", "band": "#222c39", "edge": "#5b6b80", "ink": "#e8edf4",
         "soft": "#a9b6c6", "pill": "#e2e8f0", "on-pill": "#0f172a", "end": "#ff8a8a"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Text:
    """A line of text in a card; `x` is its start, middle or end, `y` its baseline."""

    x: float
    y: float
    text: str
    style: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """An edge, by its number, as text in the card of its source."""

    number: int
    label: str
    leads_to: str
    ended: bool

    @property
    def width(self) -> float:
        return text_width(self.label, _SMALL, bold=True) + _PADDING + text_width(self.leads_to, _SMALL)


def _bolder(line: str) -> float:
    """Return the extra width of a line because its verb is bold."""
    verb = clean(line).partition(" ")[0]
    return text_width(verb, _TEXT, bold=True) - text_width(verb, _TEXT) if len(verb) <= _MAX_VERB_LENGTH else 0


class _Card:
    """Drawing of a node: its texts, the bands behind the outcomes, and the y of each exit."""

    def __init__(self, node: Node, outcomes: Mapping[int | None, Sequence[_Outcome]]) -> None:
        self.node = node
        self.texts: list[_Text] = []
        self.bands: list[tuple[float, float]] = []
        self.exits: dict[int, float] = {}
        title = clean(node.title) or "?"
        wanted = [text_width(title, _TITLE, bold=True)]
        wanted += [text_width(clean(line), _TEXT) + _bolder(line) for line in node.lines]
        wanted += [outcome.width for found in outcomes.values() for outcome in found]
        self._room = min(_MAX_ROOM, max(_MIN_ROOM, *wanted))
        self.width = self._room + 2 * _PADDING
        self._y = 10.0
        self.entry_y = self._y + _ROW / 2
        for line in wrap(title, self._room, _TITLE, 2, bold=True):
            self._write(line, "name")
        for number, line in enumerate(node.lines):
            self._y += 4
            for part, text in enumerate(wrap(line, self._room - _bolder(line), _TEXT, 2)):
                self._write(text, "text" if part or self.is_entry else "verb")
            for outcome in outcomes.get(number, ()):
                self._write_outcome(outcome)
        for outcome in outcomes.get(None, ()):
            self._write_outcome(outcome)
        self.height = self._y + 10

    @property
    def is_entry(self) -> bool:
        return self.node.shape is Shape.ENTRY

    def _write(self, text: str, style: str) -> None:
        self._y += _ROW
        x, anchor = (self.width / 2, "middle") if self.is_entry else (_PADDING, "start")
        self.texts.append(_Text(x, self._y - 5, text, style, anchor))

    def _write_outcome(self, outcome: _Outcome) -> None:
        """Write an outcome and its target, in one line if they fit, or in the verb's line if it has no name."""
        if self.is_entry:
            for line in wrap(f"{outcome.label} {outcome.leads_to}", self._room, _TEXT, 2):
                self._write(line, "text")
            return
        last = self.texts[-1]
        end = self.width - _PADDING
        style = "ended" if outcome.ended else "to"
        nameless = not outcome.label and last.anchor == "start" and last.style in ("verb", "text")
        if nameless and text_width(last.text, _TEXT) + _bolder(last.text) + outcome.width <= self._room:
            self.texts.append(_Text(end, last.y, outcome.leads_to, style, "end"))
            self.exits[outcome.number] = last.y - 4
            return
        self._y += 3
        top = self._y
        for line in wrap(outcome.label, self._room, _SMALL, 3, bold=True):
            self._y += _ROW
            self.texts.append(_Text(_PADDING, self._y - 4, line, "label"))
        self._y -= _ROW if outcome.label and outcome.width <= self._room else 0
        for line in wrap(outcome.leads_to, self._room, _SMALL, 2):
            self._y += _ROW
            self.texts.append(_Text(end, self._y - 4, line, style, "end"))
        self.exits[outcome.number] = self._y - _ROW / 2 + 1
        self._y += 2
        self.bands.append((top, self._y))


def to_svg(graph: Graph) -> str:
    """Return the plan as a self-contained SVG image, for light and dark."""
    nodes = [node for node in graph.nodes if node.shape is not Shape.END]
    index = {node.id: number for number, node in enumerate(nodes)}
    wired = {number: edge for number, edge in enumerate(graph.edges) if edge.target in index}
    links = [(index[edge.source], index[edge.target]) for edge in wired.values()]
    layers = layers_of(links, len(nodes), {index[node.id] for node in nodes if node.shape is Shape.ENTRY})
    cards = [_Card(node, _outcomes(node, graph, index, layers)) for node in nodes]
    wires = [
        Wire(source, target, cards[source].exits.get(number))
        for number, (source, target) in zip(wired, links, strict=True)
    ]
    drawing = lay_out([Box(card.width, card.height, card.entry_y) for card in cards], wires, layers)
    heading = wrap(graph.title, 720, _HEADING, 1, bold=True)
    width = max([drawing.width, *(text_width(line, _HEADING, bold=True) for line in heading)]) + 2 * _PAGE
    top = _PAGE + 2 * _HEADING
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg", "class": "call-plan", "role": "img",
            "viewBox": f"0 0 {width:g} {drawing.height + top + _PAGE:g}",
            "width": f"{width:g}", "height": f"{drawing.height + top + _PAGE:g}",
        },
    )  # fmt: skip
    ET.SubElement(root, "title").text = clean(graph.title)
    ET.SubElement(root, "desc").text = " ".join(_sentences(graph))
    ET.SubElement(root, "style").text = _style()
    ET.SubElement(root, "rect", {"class": "page", "width": "100%", "height": "100%"})
    for line in heading:
        _add_text(root, _Text(_PAGE, _PAGE + _HEADING, line, "heading"))
    picture = ET.SubElement(root, "g", transform=f"translate({_PAGE:g} {top:g})")
    by_target: dict[int, list[tuple[Edge, Sequence[Point]]]] = {}
    for edge, wire, route in zip(wired.values(), wires, drawing.routes, strict=True):
        by_target.setdefault(wire.target, []).append((edge, route))
    hues = _hues(wires, layers)
    for target, joined in by_target.items():
        _add_wires(picture, joined, hues[target], {node.id: clean(node.title) for node in nodes})
    for number, (card, corner) in enumerate(zip(cards, drawing.corners, strict=True)):
        _add_card(picture, card, corner, hues.get(number))
        for exit_number, y in card.exits.items():
            if exit_number in wired:
                target = index[wired[exit_number].target]
                x = corner[0] + (card.width if layers[target] > layers[number] else 0)
                dot = {"cx": f"{x:g}", "cy": f"{corner[1] + y:g}", "r": "4"}
                ET.SubElement(picture, "circle", {"class": f"dot hue{hues[target]}", **dot})
            else:
                place = {"x": f"{corner[0] + card.width - 5:g}", "y": f"{corner[1] + y - 5:g}"}
                ET.SubElement(picture, "rect", {"class": "end-mark", **place, "width": "10", "height": "10", "rx": "2"})
    return ET.tostring(root, encoding="unicode") + "\n"


def _hues(wires: Sequence[Wire], layers: Sequence[int]) -> dict[int, int]:
    """Return a hue for each target; avoid equal hues for targets of one card, or next to each other."""
    sources: dict[int, list[int]] = {}
    for wire in wires:
        sources.setdefault(wire.target, []).append(wire.source)
    hues: dict[int, int] = {}
    for target in sorted(sources, key=lambda target: -len(sources[target])):
        clashes = [[0, 0, 0] for _ in _HUES]
        for other, hue in hues.items():
            clashes[hue][0] += not set(sources[target]).isdisjoint(sources[other])
            clashes[hue][1] += layers[target] == layers[other]
            clashes[hue][2] += len(sources[other])
        hues[target] = clashes.index(min(clashes))
    return hues


def _outcomes(
    node: Node, graph: Graph, index: Mapping[str, int], layers: Sequence[int]
) -> dict[int | None, list[_Outcome]]:
    """Return the outcomes in a card, by their line."""
    titles = {other.id: clean(other.title) or "?" for other in graph.nodes}
    found: dict[int | None, list[_Outcome]] = {}
    for number, edge in enumerate(graph.edges):
        label, ended = _outcome(edge), edge.target not in index
        if edge.source != node.id or (node.shape is Shape.ENTRY and not label and not ended):
            continue
        if ended:
            arrow = ""
        elif edge.target == edge.source:
            arrow = "↻ "
        else:
            arrow = "→ " if layers[index[edge.target]] > layers[index[edge.source]] else "↑ "
        outcome = _Outcome(number, label, arrow + titles[edge.target], ended)
        found.setdefault(edge.source_line, []).append(outcome)
    return found


def _sentences(graph: Graph) -> Iterator[str]:
    """Yield the plan as sentences, for screen readers."""
    titles = {node.id: clean(node.title) for node in graph.nodes}
    for edge in graph.edges:
        outcome = _outcome(edge)
        yield f"{titles[edge.source]}{f' ({outcome})' if outcome else ''} leads to {titles[edge.target]}."


def _style() -> str:
    def colours(paint: Mapping[str, str], hues: Iterable[str]) -> str:
        rules = {
            ".page": f"fill:{paint['page']}", ".card": f"fill:{paint['card']};stroke:{paint['edge']}",
            ".pill": f"fill:{paint['pill']};stroke:{paint['pill']}", ".band": f"fill:{paint['band']}",
            "text": f"fill:{paint['ink']}", ".to": f"fill:{paint['soft']}",
            ".pill-text": f"fill:{paint['on-pill']}", ".ended": f"fill:{paint['end']}",
            ".end-mark": f"fill:{paint['end']};stroke:{paint['card']}", ".dot": f"stroke:{paint['card']}",
            ".halo": f"stroke:{paint['page']}",
        }  # fmt: skip
        for number, hue in enumerate(hues):
            rules[f".hue{number}"] = f"fill:{hue}"
            rules[f".wire{number}"] = f"stroke:{hue}"
        return "".join(
            f"{','.join(f'.call-plan {part}' for part in selector.split(','))}{{{rule}}}"
            for selector, rule in rules.items()
        )

    return (
        f".call-plan text{{font-family:system-ui,sans-serif;font-size:{_TEXT}px}}"
        f".call-plan .heading{{font-size:{_HEADING}px;font-weight:600}}"
        f".call-plan .name{{font-size:{_TITLE}px;font-weight:600}}"
        f".call-plan .label{{font-size:{_SMALL}px;font-weight:600}}"
        f".call-plan .to,.call-plan .ended{{font-size:{_SMALL}px}}"
        ".call-plan .verb tspan{font-weight:600}"
        ".call-plan .outside{stroke-dasharray:5 4}"
        ".call-plan .wire,.call-plan .halo{fill:none;stroke-width:2}.call-plan .halo{stroke-width:7}"
        f"{colours(_LIGHT, [light for light, _ in _HUES])}"
        f"@media (prefers-color-scheme:dark){{{colours(_DARK, [dark for _, dark in _HUES])}}}"
    )


def _add_text(parent: ET.Element, text: _Text, style: str = "") -> None:
    place = {"x": f"{text.x:g}", "y": f"{text.y:g}", "class": text.style + style}
    if text.anchor != "start":
        place["text-anchor"] = text.anchor
    element = ET.SubElement(parent, "text", place)
    verb, space, rest = text.text.partition(" ")
    if text.style == "verb" and len(verb) <= _MAX_VERB_LENGTH:
        emphasised = ET.SubElement(element, "tspan")
        emphasised.text, emphasised.tail = verb, space + rest
    else:
        element.text = text.text


def _add_card(parent: ET.Element, card: _Card, corner: Point, hue: int | None) -> None:
    frame = {"x": f"{corner[0]:g}", "y": f"{corner[1]:g}", "width": f"{card.width:g}", "height": f"{card.height:g}"}
    shape = {"rx": f"{min(22, card.height / 2):g}" if card.is_entry else "8"}
    ET.SubElement(parent, "rect", {"class": "pill" if card.is_entry else f"card {card.node.shape}", **frame, **shape})
    inside = ET.SubElement(parent, "svg", frame)  # clips text in a very wide font
    if hue is not None:
        ET.SubElement(inside, "rect", {"class": f"hue{hue}", "x": "8", "y": "0", "width": f"{card.width - 16:g}",
                                       "height": "4"})  # fmt: skip
    for top, bottom in card.bands:
        ET.SubElement(inside, "rect", {"class": "band", "x": "6", "y": f"{top:g}", "width": f"{card.width - 12:g}",
                                       "height": f"{bottom - top:g}", "rx": "4"})  # fmt: skip
    for text in card.texts:
        _add_text(inside, text, " pill-text" if card.is_entry else "")


def _add_wires(
    parent: ET.Element, joined: Sequence[tuple[Edge, Sequence[Point]]], hue: int, titles: Mapping[str, str]
) -> None:
    """Draw the wires to one card, with a halo in the page's colour where they cross earlier wires."""
    ET.SubElement(parent, "path", {"class": "halo", "d": " ".join(_path(route) for _, route in joined)})
    for edge, route in joined:
        wire = ET.SubElement(parent, "path", {"class": f"wire wire{hue}", "d": _path(route)})
        outcome = _outcome(edge)
        ET.SubElement(wire, "title").text = f"{titles[edge.source]}: {outcome} → {titles[edge.target]}"
    for (x, y), downwards in dict.fromkeys((route[-1], route[-1][0] == route[-2][0]) for _, route in joined):
        tip = f"M{x:g} {y:g}l-5 -9h10z" if downwards else f"M{x:g} {y:g}l-9 -5v10z"
        ET.SubElement(parent, "path", {"class": f"hue{hue}", "d": tip})


def _path(route: Sequence[Point]) -> str:
    """Return an SVG path along the points with round corners; it ends inside the arrowhead."""
    points = [*route[:-1], _towards(route[-1], route[-2], 6)]
    found = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for (before, corner), (_, after) in pairwise(pairwise(points)):
        radius = min(7, _distance(before, corner) / 2, _distance(corner, after) / 2)
        start, end = _towards(corner, before, radius), _towards(corner, after, radius)
        found.append(f"L{start[0]:g} {start[1]:g}Q{corner[0]:g} {corner[1]:g} {end[0]:g} {end[1]:g}")
    found.append(f"L{points[-1][0]:g} {points[-1][1]:g}")
    return "".join(found)


def _distance(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _towards(start: Point, end: Point, length: float) -> Point:
    """Return the point at a distance from the start, on a vertical or horizontal line."""
    share = length / (_distance(start, end) or 1)
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
