"""Content of the picture of a call plan, as SVG and as Mermaid, for any text in the plan."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest
from callhooks.providers.jambonz.plan.loader import read_plan
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file
from callhooks_tools.providers.jambonz.plan_picture.graph import graph_of
from callhooks_tools.providers.jambonz.plan_picture.picture import Edge, Graph, Node, Shape, to_mermaid, to_svg
from callhooks_tools.providers.jambonz.plan_picture.text_fitting import clean, text_width, wrap
from hypothesis import given
from hypothesis import strategies as st

from tests.properties import examples
from tests.support import ROOT

SVG = "{http://www.w3.org/2000/svg}"

SMALL = Graph(
    "Call plan",
    (
        Node("r0", Shape.ENTRY, "Calls to +1 415 555 0123", ("in office hours",)),
        Node("f0", Shape.FLOW, "reception", ('say "Welcome to Acme."', "dial +1 415 555 0100")),
        Node("f1", Shape.FLOW, "voicemail", ('say "Please leave a message."', "hangup")),
        Node("end", Shape.END, "Call ends"),
    ),
    (
        Edge("r0", "f0", ()),
        Edge("f0", "end", ("completed",), 1),
        Edge("f0", "f1", ("busy", "no answer"), 1),
        Edge("f1", "end", (), 1),
    ),
)

OFFICE = graph_of(read_plan(read_plan_file(ROOT / "layers" / "call_plan" / "call_plan.yaml")), "Acme")

HOSTILE = [
    "<script>alert(1)</script>", "a \"quoted\" 'thing'", "]]> <!-- x --> &amp; &#60;", "emoji 👩‍👩‍👧 ☎️", "שלום العربية",
    "end", "subgraph x", "A[b](c){d}|e|", "1. list", "- dash", "# heading", "`code` **bold** _it_", "#35; #quot;",
    "%% comment", "style x:#fff;", 'click n0 href "javascript:alert(1)"', "---", "o--x", "$$x^2$$", "\\n \\u0041",
    "fa:fa-phone", "@{shape: rect}", ";;", "%%{init: {}}%%",
]  # fmt: skip

texts = st.text(st.characters(), max_size=60) | st.sampled_from(HOSTILE)  # lone surrogates included


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    entries = [Node(f"r{n}", Shape.ENTRY, draw(texts)) for n in range(draw(st.integers(0, 3)))]
    lines = st.lists(texts, max_size=3).map(tuple)
    shape = st.sampled_from([Shape.FLOW, Shape.FLOW, Shape.OUTSIDE])
    flows = [Node(f"f{n}", draw(shape), draw(texts), draw(lines)) for n in range(draw(st.integers(1, 7)))]
    end = Node("end", Shape.END, draw(texts))
    edges = []
    for _ in range(draw(st.integers(0, 14))):
        source = draw(st.sampled_from([*entries, *flows]))
        line = draw(st.none() | st.integers(0, len(source.lines) - 1)) if source.lines else None
        labels = draw(st.lists(texts, max_size=3).map(tuple))
        edges.append(Edge(source.id, draw(st.sampled_from([*flows, end])).id, labels, line))
    return Graph(draw(texts), (*entries, *flows, end), tuple(edges))


def with_text(text: str) -> Graph:
    """Return a small plan with the same text everywhere."""
    nodes = tuple(Node(shape, shape, text, (text,)) for shape in Shape)
    edges = (Edge("entry", "flow", (text,)), Edge("flow", "outside", (text,), 0), Edge("flow", "end", (text,), 0))
    return Graph(text, nodes, edges)


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own


def words_in(svg: str) -> str:
    """Return the text of the picture, with its line breaks removed."""
    return "\n".join("".join(text.itertext()) for text in parsed(svg).iter(f"{SVG}text"))


def classes_in(svg: str) -> list[str]:
    return [element.get("class", "") for element in parsed(svg).iter()]


def frames_of(svg: str) -> list[tuple[float, float, float, float]]:
    """Return left, top, right and bottom of each card."""
    found = []
    for element in parsed(svg).iter(f"{SVG}rect"):
        if element.get("class", "").split()[0] in ("card", "pill"):
            x, y, width, height = (float(element.get(name, "")) for name in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
    return found


# -- SVG


def test_every_title_verb_and_outcome_is_in_the_picture() -> None:
    words, office = words_in(to_svg(SMALL)), words_in(to_svg(OFFICE))
    for node in SMALL.nodes:
        assert [text for text in (node.title, *node.lines) if text not in words] == []
    assert [edge for edge in SMALL.edges if ", ".join(edge.labels) not in words] == []
    assert [node for node in OFFICE.nodes if node.shape is Shape.FLOW and node.title not in office] == []


def test_an_outcome_is_below_its_verb_and_next_to_its_target() -> None:
    lines = words_in(to_svg(SMALL)).split("\n")
    dial = lines.index("dial +1 415 555 0100")
    assert lines[dial : dial + 5] == [
        "dial +1 415 555 0100", "completed", "Call ends", "busy, no answer", "→ voicemail",
    ]  # fmt: skip


def test_arrows_distinguish_forward_back_and_repeat() -> None:
    lines = words_in(to_svg(OFFICE)).split("\n")
    assert {line.partition(" ")[0] for line in lines} >= {"→", "↑", "↻"}


def test_an_end_is_a_mark_on_the_card() -> None:
    classes = classes_in(to_svg(OFFICE))
    ends = sum(edge.target == "end" for edge in OFFICE.edges)
    assert classes.count("end-mark") == ends
    assert sum(name.startswith("wire") for name in classes) == len(OFFICE.edges) - ends
    assert len(frames_of(to_svg(OFFICE))) == len(OFFICE.nodes) - 1


def test_a_route_whose_calls_end_at_once_shows_it() -> None:
    graph = Graph("", (SMALL.nodes[0], SMALL.nodes[-1]), (Edge("r0", "end", ()),))
    assert words_in(to_svg(graph)).split("\n") == ["Calls to +1 415 555 0123", "in office hours", "Call ends"]


def test_the_description_lists_every_connection_for_screen_readers() -> None:
    root = parsed(to_svg(SMALL))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "Call plan"
    assert root.findtext(f"{SVG}desc") == (
        "Calls to +1 415 555 0123 leads to reception. reception (completed) leads to Call ends. "
        "reception (busy, no answer) leads to voicemail. voicemail leads to Call ends."
    )


def test_the_svg_loads_no_resource_and_runs_no_script() -> None:
    svg = to_svg(OFFICE)
    assert {element.tag.removeprefix(SVG) for element in parsed(svg).iter()} <= {
        "svg", "title", "desc", "style", "rect", "g", "path", "circle", "text", "tspan",
    }  # fmt: skip
    assert not re.search(r"url\(|@import|@font-face|href|\bon\w+=", svg)


def test_the_svg_has_colours_for_light_and_dark() -> None:
    style = parsed(to_svg(SMALL)).findtext(f"{SVG}style") or ""
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    coloured = set(re.findall(r"(\.call-plan [^{,]+)\{[^}]*#[0-9a-f]{6}", light))
    assert coloured
    assert coloured == set(re.findall(r"(\.call-plan [^{,]+)\{[^}]*#[0-9a-f]{6}", dark))


def test_targets_of_one_flow_have_different_colours() -> None:
    paths = [
        (path.findtext(f"{SVG}title") or "", path.get("class")) for path in parsed(to_svg(OFFICE)).iter(f"{SVG}path")
    ]
    from_menu = {title.split("→ ")[1]: hue for title, hue in paths if title.startswith("reception:")}
    assert len(from_menu) == len(set(from_menu.values())) > 3


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_the_svg(text: str) -> None:
    assert words_in(to_svg(with_text(text))).count(text) >= 2 * len(Shape) - 1


def test_a_long_text_ends_in_an_ellipsis_after_two_lines() -> None:
    words = words_in(to_svg(with_text("Please stay on the line. " * 20))).split("\n")
    assert len([line for line in words if line.endswith("…")]) >= 4
    assert max(map(len, words)) < 60


def test_an_empty_text_does_not_fail() -> None:
    assert words_in(to_svg(with_text(""))).count("?") >= 3
    parsed(to_svg(Graph("", (), ())))


@given(graphs())
@examples(150)
def test_cards_never_overlap(graph: Graph) -> None:
    svg = to_svg(graph)
    frames = frames_of(svg)
    assert len(frames) == len(graph.nodes) - 1
    for one, other in combinations(frames, 2):
        assert one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
    assert svg == to_svg(graph)


@given(graphs())
@examples(150)
def test_no_text_leaves_its_card_or_overlaps_another(graph: Graph) -> None:
    for card in parsed(to_svg(graph)).iter(f"{SVG}svg"):
        width, height = float(card.get("width", "")), float(card.get("height", ""))
        used: list[tuple[float, float, float]] = []
        for text in card.findall(f"{SVG}text"):
            left, right = extent_of(text)
            y = float(text.get("y", ""))
            assert left >= 0
            assert right <= width
            assert 10 <= y <= height - 4
            for other_left, other_right, other_y in used:
                assert abs(y - other_y) >= 15 or right <= other_left or other_right <= left
            used.append((left, right, y))


def extent_of(text: ET.Element) -> tuple[float, float]:
    bold = text.get("class", "").split()[0] in ("name", "label")
    size = 15 if "name" in text.get("class", "") else 13
    width = text_width(text.text or "", size, bold=bold)
    width += sum(text_width(part.text or "", 13, bold=True) + text_width(part.tail or "", 13) for part in text)
    x = float(text.get("x", ""))
    left = {"start": x, "middle": x - width / 2, "end": x - width}[text.get("text-anchor", "start")]
    return left, left + width


# -- Mermaid


def mermaid_lines(graph: Graph) -> list[str]:
    return [line.strip() for line in to_mermaid(graph).splitlines()]


def test_mermaid_has_every_node_and_every_edge_once() -> None:
    lines = mermaid_lines(SMALL)
    assert lines[:4] == ["---", 'title: "Call plan"', "---", "flowchart TD"]
    assert lines[4:-4] == [
        'n0(["<b>Calls to #43;1 415 555 0123</b><br>in office hours"]):::entryNode',
        'n1["<b>reception</b><br>say #34;Welcome to Acme#46;#34;<br>dial #43;1 415 555 0100"]:::flowNode',
        'n2["<b>voicemail</b><br>say #34;Please leave a message#46;#34;<br>hangup"]:::flowNode',
        "n0 --> n1",
        'n3x0(["<b>Call ends</b>"]):::endNode',
        'n1 -->|"completed"| n3x0',
        'n1 -->|"busy, no answer"| n2',
        'n3x1(["<b>Call ends</b>"]):::endNode',
        "n2 --> n3x1",
    ]


def test_mermaid_gives_each_flow_that_ends_a_separate_mark() -> None:
    lines = mermaid_lines(OFFICE)
    ending = {edge.source for edge in OFFICE.edges if edge.target == "end"}
    assert sum(line.endswith(":::endNode") for line in lines) == len(ending)
    assert sum(":::" in line for line in lines) == len(OFFICE.nodes) - 1 + len(ending)
    assert sum("-->" in line for line in lines) == len(OFFICE.edges)


MERMAID_LINE = re.compile(
    r'n\d+(x\d+)?(\(\["T"\]\)|\["T"\]|\[\["T"\]\]):::(entry|flow|end|outside)Node'
    r'|n\d+ -->(\|"T"\|)? n\d+(x\d+)?'.replace("T", r"(\w|[ ,]|#\d+;|</?b>|<br>)+")
)


@given(graphs())
@examples(150)
def test_hostile_text_stays_text_in_mermaid(graph: Graph) -> None:
    text = to_mermaid(graph)
    head, body = text.split("\nflowchart TD\n")
    assert re.fullmatch(r'---\ntitle: "([^"\\<>&]|\\.)*"\n---', head)
    for line in body.removesuffix("\n").split("\n")[:-4]:
        assert MERMAID_LINE.fullmatch(line.strip()), line
    assert text == to_mermaid(graph)


# -- the graph and its text


@pytest.mark.parametrize(
    ("edge", "problem"),
    [
        (Edge("f0", "f9", ()), "no such node"),
        (Edge("f9", "f0", ()), "no such node"),
        (Edge("end", "f0", ()), "cannot lead"),
        (Edge("f0", "r0", ()), "cannot lead"),
        (Edge("f0", "f1", (), 2), "no line 2"),
    ],
)
def test_an_impossible_edge_is_rejected(edge: Edge, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Graph("", SMALL.nodes, (edge,))


def test_two_nodes_with_one_id_are_rejected() -> None:
    with pytest.raises(ValueError, match="same id"):
        Graph("", (SMALL.nodes[0], SMALL.nodes[0]), ())


@given(texts, st.integers(40, 300), st.integers(1, 3))
def test_lines_hold_as_much_of_the_text_as_fits(text: str, width: int, lines: int) -> None:
    wrapped = wrap(text, width, 13, lines)
    assert len(wrapped) <= lines
    assert all(text_width(line, 13) <= width for line in wrapped)
    cleaned = "".join(clean(text).split())
    shown = "".join("".join(wrapped).split())
    assert shown == cleaned or cleaned.startswith(shown.removesuffix("…"))
    assert parsed(f"<text>{escape(clean(text))}</text>").text == (clean(text) or None)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("line\r\nbreak\ttab", "line break tab"),
        ("\x00\x01\ud800\ufffe", ""),
        ("\u202eevil\u2069 text", "evil text"),
        ("+1\xa0415\xa0555\xa00123", "+1\xa0415\xa0555\xa00123"),
    ],
)
def test_control_characters_become_a_space(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_a_number_with_non_breaking_spaces_stays_on_one_line() -> None:
    number = "+1\xa0415\xa0555\xa00123"
    assert wrap(f"{number}, {number}", text_width(number, 13) * 1.5, 13, 2) == [f"{number},", number]
