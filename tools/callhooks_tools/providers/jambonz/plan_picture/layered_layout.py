"""Layered layout: boxes in layers from top to bottom, and wires around them along straight tracks.

Method: Sugiyama, Tagawa and Toda (IEEE Transactions on Systems, Man and Cybernetics 11, 1981). All wires
to one box share their tracks, so they merge like railway lines. Forward wires leave a box at the right and arrive from
above; backward wires leave and arrive at the left. Lengths are in pixels, y grows downwards. The layout is
deterministic.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby, pairwise, permutations

Point = tuple[float, float]

TRACK = 12.0
"""Distance between two tracks."""
CLEARANCE = 18.0
"""Distance between a box and the nearest track or the margin of the next box."""
_SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Box:
    """A box to place; a backward wire arrives at `entry_y` below its top."""

    width: float
    height: float
    entry_y: float


@dataclass(frozen=True, slots=True)
class Wire:
    """A wire between two boxes, by index; it leaves at `exit_y` below the source's top, or at the bottom centre."""

    source: int
    target: int
    exit_y: float | None


@dataclass(frozen=True, slots=True)
class Drawing:
    """The upper left corner of each box, the points of each wire from source to target, and the total size."""

    corners: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def layers_of(links: Sequence[tuple[int, int]], count: int, first: Collection[int]) -> list[int]:
    """Return the layer of each of `count` boxes: 0 for `first`, otherwise below the lowest box that leads to it.

    A link that closes a loop does not count; a loop begins at the box that is reached first from `first`.
    """
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in links:
        after[source].append(target)
    finished, closing = _depth_first(after, sorted(range(count), key=lambda box: box not in first))
    layers = [0 if box in first else 1 for box in range(count)]
    for box in reversed(finished):
        for target in after[box]:
            if (box, target) not in closing:
                layers[target] = max(layers[target], layers[box] + 1)
    return layers


def _depth_first(after: Sequence[Sequence[int]], roots: Sequence[int]) -> tuple[dict[int, None], set[tuple[int, int]]]:
    """Return the boxes in depth-first postorder, and the links that close a loop."""
    started: set[int] = set()
    finished: dict[int, None] = {}
    closing: set[tuple[int, int]] = set()
    for root in roots:
        path = [(root, iter(after[root]))] if root not in started else []
        started.add(root)
        while path:
            box, targets = path[-1]
            for target in targets:
                if target not in started:
                    started.add(target)
                    path.append((target, iter(after[target])))
                    break
                if target not in finished:
                    closing.add((box, target))
            else:
                finished[box] = None
                path.pop()
    return finished, closing


def lay_out(boxes: Sequence[Box], wires: Sequence[Wire], layers: Sequence[int]) -> Drawing:
    """Place the boxes in their layers (`layers_of`) and route the wires."""
    plan = _Layered(boxes, wires, layers)
    plan.order()
    plan.place()
    return plan.draw()


@dataclass(slots=True)
class _Track:
    """The wires to one box between two layers: the x of their ends above and below, and their level."""

    above: set[float] = field(default_factory=set)
    below: set[float] = field(default_factory=set)
    level: int = 0

    def spans(self, x: float, margin: float = 0) -> bool:
        ends = self.above | self.below
        return min(ends) - margin <= x <= max(ends) + margin

    def touches(self, other: _Track) -> bool:
        """Return whether two tracks cannot share a level."""
        return any(self.spans(x, TRACK) for x in other.above | other.below) or any(
            other.spans(x) for x in self.above | self.below
        )

    def cost_above(self, other: _Track) -> int:
        """Return the cost of placing this track above the other: 1 for a crossing, 100 for overlapping lines."""
        crossings = sum(other.spans(x) for x in self.below) + sum(self.spans(x) for x in other.above)
        return crossings + 100 * sum(abs(x - y) < TRACK / 2 for x in self.below for y in other.above)


class _Layered:
    """Layout in progress. The items of a layer are boxes, and passages for wires that go through the layer.

    Items are numbered: boxes first, then passages.
    """

    def __init__(self, boxes: Sequence[Box], wires: Sequence[Wire], layers: Sequence[int]) -> None:
        self.boxes = boxes
        self.wires = wires
        self.layer = list(layers)
        self.right_tracks: list[list[int]] = [[] for _ in boxes]  # targets, from the box outwards
        self.left_tracks: list[list[int]] = [[] for _ in boxes]
        self._collect_tracks()
        self.leads_to: dict[int, int] = {}  # the box to which a passage leads
        self.stations = self._stations()
        items = range(len(self.layer))
        self.part = self._parts()
        self.rows: list[list[int]] = [[] for _ in range(max(self.layer, default=0) + 1)]
        for item in items:
            self.rows[self.layer[item]].append(item)
        self.x = [0.0] * len(self.layer)
        self.arrival: dict[int, float] = {}  # the x at which wires from above arrive at a box
        self.above: list[list[int]] = [[] for _ in items]
        self.below: list[list[int]] = [[] for _ in items]
        for one, other in dict.fromkeys(hop for stations in self.stations for hop in pairwise(stations)):
            if self.layer[one] != self.layer[other]:
                upper, lower = sorted((one, other), key=lambda item: self.layer[item])
                self.below[upper].append(lower)
                self.above[lower].append(upper)

    def leads_down(self, wire: Wire) -> bool:
        """Return whether a wire leads to a lower layer."""
        return self.layer[wire.target] > self.layer[wire.source]

    def _collect_tracks(self) -> None:
        # The upper exit gets the outer track at the right, where wires turn down, and the inner track at the left.
        for wire in sorted(self.wires, key=lambda wire: -(wire.exit_y or 0)):
            tracks = self.right_tracks[wire.source]
            if self.leads_down(wire) and wire.exit_y is not None and wire.target not in tracks:
                tracks.append(wire.target)
        for wire in sorted(self.wires, key=lambda wire: wire.exit_y or 0):
            if not self.leads_down(wire):
                tracks = self.left_tracks[wire.source]
                if wire.source != wire.target and wire.target not in tracks:
                    tracks.append(wire.target)
        for wire in self.wires:
            tracks = self.left_tracks[wire.target]
            if not self.leads_down(wire) and wire.target not in tracks:
                tracks.insert(0, wire.target)

    def _stations(self) -> list[list[int]]:
        """Return the items along each wire: source, passages, target."""
        passages: dict[tuple[int, int], int] = {}
        found = []
        for wire in self.wires:
            source, target = self.layer[wire.source], self.layer[wire.target]
            found.append([wire.source])
            for layer in range(source + 1, target) if source < target else range(source - 1, target, -1):
                passage = passages.setdefault((wire.target, layer), len(self.layer))
                if passage == len(self.layer):
                    self.layer.append(layer)
                    self.leads_to[passage] = wire.target
                found[-1].append(passage)
            found[-1].append(wire.target)
        return found

    def _parts(self) -> list[int]:
        """Return for each item the first item of its connected part."""
        part = list(range(len(self.layer)))

        def find(item: int) -> int:
            while part[item] != item:
                part[item] = item = part[part[item]]
            return item

        for one, other in (hop for stations in self.stations for hop in pairwise(stations)):
            first, second = sorted((find(one), find(other)))
            part[second] = first
        return [find(item) for item in range(len(part))]

    # -- order in the layers

    def order(self) -> None:
        """Order each layer by the mean place of its items' neighbours; use the order with the fewest crossings."""
        for row in self.rows:
            row.sort(key=lambda item: self.part[item])
        best, fewest_crossings = [list(row) for row in self.rows], self._crossings()
        for sweep in range(_SWEEPS):
            downwards = sweep % 2 == 0
            neighbours = self.above if downwards else self.below
            for row in self.rows if downwards else reversed(self.rows):
                places = self._places()
                means = {item: _mean([places[other] for other in neighbours[item]], places[item]) for item in row}
                row.sort(key=lambda item: (self.part[item], means[item]))
            if (crossings := self._crossings()) < fewest_crossings:
                best, fewest_crossings = [list(row) for row in self.rows], crossings
        self.rows = best

    def _places(self) -> list[float]:
        """Return the place of each item in its layer, between 0 and 1."""
        places = [0.0] * len(self.layer)
        for row in self.rows:
            for place, item in enumerate(row):
                places[item] = (place + 0.5) / len(row)
        return places

    def _crossings(self) -> int:
        places = self._places()
        crossings = 0
        for row in self.rows:
            seen: list[float] = []
            for upper in row:
                lower = sorted(places[item] for item in self.below[upper])
                crossings += sum(len(seen) - bisect_right(seen, place) for place in lower)
                for place in lower:
                    insort(seen, place)
        return crossings

    # -- places in the layers

    def place(self) -> None:
        """Set the x of each item, as close to its neighbours as the boxes allow."""
        for row in self.rows:
            self._settle(row, [0.0] * len(row))
        for sweep in range(2 * _SWEEPS):
            neighbours = self.above if sweep % 2 else self.below
            for row in self.rows[:: 1 if sweep % 2 else -1]:
                pulls = [[self._pull(item, other) for other in neighbours[item]] for item in row]
                self._settle(row, [_mean(pull, self.x[item]) for pull, item in zip(pulls, row, strict=True)])
        self._push_together()

    def _push_together(self) -> None:
        """Move each connected part to the left, up to the parts before it."""
        used = [0.0] * len(self.rows)
        for part in sorted(set(self.part)):
            members = [item for row in self.rows for item in row if self.part[item] == part]
            room = min(self.x[item] - self._margins(item)[0] - used[self.layer[item]] for item in members)
            for item in members:
                self.x[item] -= room
                used[self.layer[item]] = self.x[item] + self._margins(item)[1]

    def _pull(self, item: int, neighbour: int) -> float:
        """Return the x at which an item would be straight below or above a neighbour or its wires."""
        if neighbour not in self.leads_to and item in self.leads_to:
            target = self.leads_to[item]
            if neighbour != target or self.layer[item] > self.layer[target]:
                return self.exit_x(neighbour, target)
        return self.x[neighbour]

    def _settle(self, row: Sequence[int], wanted: Sequence[float]) -> None:
        """Place a row by least squares from the wanted x, without overlaps (pool adjacent violators)."""
        offset, offsets = 0.0, []
        for index, item in enumerate(row):
            offset += self._margins(row[index - 1])[1] + self._margins(item)[0] if index else 0
            offsets.append(offset)
        blocks: list[tuple[float, int]] = []  # sum, number of members
        for target_x, offset in zip(wanted, offsets, strict=True):
            block = (target_x - offset, 1)
            while blocks and blocks[-1][0] / blocks[-1][1] > block[0] / block[1]:
                total, members = blocks.pop()
                block = (block[0] + total, block[1] + members)
            blocks.append(block)
        shifts = [total / members for total, members in blocks for _ in range(members)]
        for item, offset, shift in zip(row, offsets, shifts, strict=True):
            self.x[item] = offset + shift

    def _margins(self, item: int) -> Point:
        """Return the room that an item needs to the left and right of its x."""
        if item in self.leads_to:
            return TRACK / 2, TRACK / 2
        half = self.boxes[item].width / 2 + CLEARANCE
        return half + len(self.left_tracks[item]) * TRACK, half + len(self.right_tracks[item]) * TRACK

    # -- wires

    def exit_x(self, item: int, target: int) -> float:
        """Return the x at which the wires to a target leave a box or pass a passage."""
        if item in self.leads_to:
            return self.x[item]
        reach = self.boxes[item].width / 2 + CLEARANCE
        if target in self.right_tracks[item]:
            return self.x[item] + reach + self.right_tracks[item].index(target) * TRACK
        if target in self.left_tracks[item]:
            return self.x[item] - reach - self.left_tracks[item].index(target) * TRACK
        return self.x[item]

    def draw(self) -> Drawing:
        """Set the y of each layer and track, and build the wires."""
        tracks: list[dict[int, _Track]] = [defaultdict(_Track) for _ in range(len(self.rows) + 1)]
        self._place_arrivals()
        ends = [self._ends(wire, stations) for wire, stations in zip(self.wires, self.stations, strict=True)]
        for wire, places in zip(self.wires, ends, strict=True):
            for gap, x, from_above in places:
                track = tracks[gap][wire.target]
                (track.above if from_above else track.below).add(x)
        tops, levels, y = [], [], 0.0
        for gap, row in enumerate([*self.rows, []]):
            height = _level(list(tracks[gap].values()))
            levels.append(y + CLEARANCE)
            y += 2 * CLEARANCE + (height - 1) * TRACK if height else CLEARANCE * (0 < gap < len(self.rows))
            tops.append(y)
            y += max((self.boxes[item].height for item in row if item not in self.leads_to), default=0)
        track_y = {
            (gap, target): levels[gap] + track.level * TRACK
            for gap, found in enumerate(tracks)
            for target, track in found.items()
        }
        return Drawing(
            corners=tuple((self.x[box] - size.width / 2, tops[self.layer[box]]) for box, size in enumerate(self.boxes)),
            routes=tuple(
                tuple(point for point, _ in groupby(self._route(wire, places, tops, track_y)))
                for wire, places in zip(self.wires, ends, strict=True)
            ),
            width=max((self.x[item] + self._margins(item)[1] for row in self.rows for item in row), default=0),
            height=y,
        )

    def _place_arrivals(self) -> None:
        """Set where wires from above arrive at a box: the centre, or near it if one of them can come straight down."""
        arriving: dict[int, list[float]] = {}
        for wire, stations in zip(self.wires, self.stations, strict=True):
            if self.leads_down(wire):
                arriving.setdefault(wire.target, []).append(self.exit_x(stations[-2], wire.target))
        for box, places in arriving.items():
            nearest = min(places, key=lambda x: abs(x - self.x[box]))
            near = abs(nearest - self.x[box]) < self.boxes[box].width / 4
            self.arrival[box] = nearest if near else self.x[box]

    def _ends(self, wire: Wire, stations: Sequence[int]) -> list[tuple[int, float, bool]]:
        """Return the ends of a wire in the gaps between layers, in its direction: gap, x, whether it comes from above.

        Gap n is above layer n.
        """
        if wire.source == wire.target:
            return []
        ends: list[tuple[int, float, bool]] = []
        x_in = self.arrival[wire.target] if self.leads_down(wire) else self.exit_x(wire.target, wire.target)
        for one, other in pairwise(stations):
            start = self.exit_x(one, wire.target)
            end = x_in if other == wire.target else self.x[other]
            if self.leads_down(wire):
                ends += [(self.layer[other], start, True), (self.layer[other], end, False)]
            else:
                gap = max(self.layer[one], self.layer[other] + 1)
                ends += [(gap, start, self.layer[one] < gap), (gap, end, True)]
        return ends

    def _route(
        self,
        wire: Wire,
        ends: Sequence[tuple[int, float, bool]],
        tops: Sequence[float],
        track_y: Mapping[tuple[int, int], float],
    ) -> Iterator[Point]:
        source, target = self.boxes[wire.source], self.boxes[wire.target]
        top = tops[self.layer[wire.source]]
        side = source.width / 2 * (1 if self.leads_down(wire) else -1)
        if wire.exit_y is None:
            yield self.x[wire.source], top + source.height
        else:
            yield self.x[wire.source] + side, top + wire.exit_y
            yield self.exit_x(wire.source, wire.target), top + wire.exit_y
        for gap, x, _ in ends:
            yield x, track_y[gap, wire.target]
        top = tops[self.layer[wire.target]]
        if self.leads_down(wire):
            yield self.arrival[wire.target], top
        else:
            yield self.exit_x(wire.target, wire.target), top + target.entry_y
            yield self.x[wire.target] - target.width / 2, top + target.entry_y


def _level(tracks: Sequence[_Track]) -> int:
    """Set the levels of the tracks in one gap, with few crossings; return the number of levels."""
    # Extra cost of the first track above the second, compared with the reverse.
    cost = {(one, other): tracks[one].cost_above(tracks[other]) - tracks[other].cost_above(tracks[one])
            for one, other in permutations(range(len(tracks)), 2)}  # fmt: skip
    order: list[int] = []
    for _ in range(_SWEEPS):
        before = list(order)
        for track in range(len(tracks)):
            if track in order:
                order.remove(track)
            costs = [0, *accumulate(cost[other, track] for other in order)]
            order.insert(costs.index(min(costs)), track)
        if order == before:
            break
    for place, number in enumerate(order):
        above = [tracks[other] for other in order[:place]]
        tracks[number].level = 1 + max((other.level for other in above if other.touches(tracks[number])), default=-1)
    return 1 + max((track.level for track in tracks), default=-1)


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
