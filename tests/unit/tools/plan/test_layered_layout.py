"""Positions of boxes in a picture, and routes of the wires between them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from callhooks_tools.providers.jambonz.plan_picture.layered_layout import Box, Drawing, Wire, lay_out, layers_of
from hypothesis import given
from hypothesis import strategies as st

from tests.properties import examples

SIZES = st.tuples(st.integers(60, 330), st.integers(120, 400))


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[Box], list[Wire], list[int]]:
    """Draw some entries, and boxes with wires to any box that is not an entry, loops included."""
    entries, others = draw(st.integers(0, 4)), draw(st.integers(1, 10))
    target = st.integers(entries, entries + others - 1)
    links = [(entry, draw(target)) for entry in range(entries)]
    links += draw(st.lists(st.tuples(target, target), max_size=25))
    boxes = [Box(*draw(SIZES), entry_y=19) for _ in range(entries + others)]
    wires = [
        Wire(source, end, None if source < entries else 30.0 + number % 90)
        for number, (source, end) in enumerate(links)
    ]
    return boxes, wires, layers_of(links, len(boxes), range(entries))


def row_of(count: int, *links: tuple[int, int], first: int = 1) -> list[int]:
    return layers_of(links, count, range(first))


def sides(drawing: Drawing, boxes: list[Box]) -> list[tuple[float, float, float, float]]:
    """Return left, top, right and bottom of each box."""
    return [
        (x, y, x + box.width, y + box.height) for (x, y), box in zip(drawing.corners, boxes, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize("more", [(0, 3), (3, 1), (3, 2), (3, 3), (2, 1)])
def test_a_box_is_below_the_farthest_box_and_no_backward_link_moves_it(more: tuple[int, int]) -> None:
    assert row_of(4, (0, 1), (1, 2), (2, 3), more) == [0, 1, 2, 3]


def test_a_box_without_incoming_links_is_below_the_entries() -> None:
    assert row_of(3, (0, 1)) == [0, 1, 1]


def test_a_long_chain_does_not_hit_the_recursion_limit() -> None:
    links = [(number, number + 1) for number in range(3000)]
    assert row_of(3001, *links)[-1] == 3000


def test_no_boxes_give_an_empty_drawing() -> None:
    assert lay_out([], [], []) == Drawing((), (), 0, 0)


def test_wires_to_one_box_share_their_end() -> None:
    boxes = [Box(100, 40, 19)] * 3 + [Box(200, 80, 19)]
    wires = [Wire(number, 3, None) for number in range(3)]
    drawing = lay_out(boxes, wires, [0, 0, 0, 1])
    assert len({route[-2:] for route in drawing.routes}) == 1


def test_unconnected_parts_are_side_by_side_in_order() -> None:
    boxes = [Box(100, 40, 19)] * 6
    wires = [Wire(0, 3, None), Wire(1, 4, None), Wire(2, 5, None)]
    drawing = lay_out(boxes, wires, [0, 0, 0, 1, 1, 1])
    lefts = [x for x, _ in drawing.corners]
    assert lefts[:3] == sorted(lefts[:3])
    assert lefts[:3] == lefts[3:]


def test_avoidable_crossings_are_avoided() -> None:
    boxes = [Box(100, 40, 19)] * 7
    wires = [Wire(0, number, 30.0) for number in (1, 2, 3)] + [Wire(1, 6, 30), Wire(2, 5, 30), Wire(3, 4, 30)]
    drawing = lay_out(boxes, wires, [0, 1, 1, 1, 2, 2, 2])
    upper, lower = drawing.corners[1:4], (drawing.corners[6], drawing.corners[5], drawing.corners[4])
    assert sorted(range(3), key=lambda at: upper[at]) == sorted(range(3), key=lambda at: lower[at])


@given(plans())
@examples(150)
def test_every_wire_runs_straight_to_its_target_without_crossing_a_box(
    plan: tuple[list[Box], list[Wire], list[int]],
) -> None:
    boxes, wires, layers = plan
    drawing = lay_out(boxes, wires, layers)
    placed = sides(drawing, boxes)
    # That boxes do not overlap is a property of the whole picture.
    for left, top, right, bottom in placed:
        assert 0 < left < right < drawing.width
        assert 0 <= top < bottom <= drawing.height
    for wire, route in zip(wires, drawing.routes, strict=True):
        on_border(route[0], placed[wire.source])
        on_border(route[-1], placed[wire.target])
        for (x, y), (to_x, to_y) in pairwise(route):
            assert x == to_x or y == to_y
            assert min(x, to_x) >= 0
            assert max(x, to_x) <= drawing.width
            assert 0 <= max(y, to_y) <= drawing.height
            for left, top, right, bottom in placed:
                is_next_to = max(x, to_x) <= left or min(x, to_x) >= right
                assert is_next_to or max(y, to_y) <= top or min(y, to_y) >= bottom


def on_border(point: tuple[float, float], box: tuple[float, float, float, float]) -> None:
    (x, y), (left, top, right, bottom) = point, box
    at_side = x == pytest.approx(left) or x == pytest.approx(right)
    at_end = y == pytest.approx(top) or y == pytest.approx(bottom)
    assert (at_side and top <= y <= bottom) or (at_end and left <= x <= right)
