"""Pictures of lessons, drawn here: concept maps and outline cards, as true JPEG files.

The same input gives the same picture on machines with the same fonts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from orchestrator.agents.fonts import Face, face_for, plain
from orchestrator.agents.jpeg import encode
from orchestrator.agents.layout import Box, arrange
from orchestrator.agents.routing import clear, route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.agents.model import Picture
    from orchestrator.agents.offline import ConceptMap

SCALE = 2  # drawn at twice the size and reduced, which smooths the edges
MARGIN_PX = 56
TITLE_PX = 34
NODE_PX = 21
CENTRE_PX = 25
LABEL_PX = 16
NODE_WIDTH_PX = 190
LABEL_WIDTH_PX = 150
TITLE_LINES = 2
NODE_LINES = 4
LEAST_WIDTH_PX = 960
LEAST_HEIGHT_PX = 640
MOST_SIDE_PX = 2_000
ARROW_PX = 11
NEAR_END = 4  # of the 25 points of a curve: there it touches its own boxes

PAPER = "#fbfaf6"
INK = "#1d2733"
SOFT_INK = "#44546a"
LINE = "#8796a8"
CENTRE = ("#1f4e79", "#173a5b", "#ffffff")
# Fill and border; ink on every fill has a contrast of 11:1 or more (WCAG asks for 4.5:1).
COLOURS = (
    ("#dcebf7", "#3f7cac"),
    ("#e2f1df", "#4c8c4a"),
    ("#fdeccd", "#c98a1b"),
    ("#f8dfe0", "#b8474f"),
    ("#e9e2f4", "#7457a6"),
    ("#d9f0ef", "#2f8f8b"),
)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture and the words to put under it, which say what the picture could not show."""

    picture: Picture
    caption: str


@dataclass(frozen=True, slots=True)
class _Text:
    """Lines of text of one size."""

    lines: tuple[str, ...]
    size: int
    face: Face

    @property
    def width(self) -> float:
        return max((self.face.at(self.size).getlength(line) for line in self.lines), default=0.0)

    @property
    def line_height(self) -> float:
        return self.size * 1.28

    @property
    def height(self) -> float:
        return self.line_height * len(self.lines)


def draw_concept_map(concepts: ConceptMap) -> Drawing:
    """Draw the terms as boxes and the links as labelled arrows, the first term in the middle."""
    labels_of = [edge.label for edge in concepts.edges]
    face, (title, *shown), legend = _showable([concepts.title, *concepts.nodes, *labels_of])
    nodes = [
        _wrapped(shown[number], CENTRE_PX if number == 0 else NODE_PX, face, NODE_WIDTH_PX, NODE_LINES)
        for number in range(len(concepts.nodes))
    ]
    boxes = [Box(text.width + 36, text.height + 24) for text in nodes]
    springs: list[tuple[int, int]] = []
    labels: dict[int, _Text] = {}
    for number, edge in enumerate(concepts.edges):
        label = shown[len(nodes) + number]
        if label:
            labels[number] = _wrapped(label, LABEL_PX, face, LABEL_WIDTH_PX, 2)
            springs += [(edge.source, len(boxes)), (len(boxes), edge.target)]
            boxes.append(Box(labels[number].width + 10, labels[number].height + 4))
        else:
            springs.append((edge.source, edge.target))
    arrange(boxes, springs, labels_from=len(nodes))
    canvas = _Canvas(boxes, _wrapped(title, TITLE_PX, face, LEAST_WIDTH_PX - 2 * MARGIN_PX, TITLE_LINES))
    label_boxes = dict(zip(labels, boxes[len(nodes) :], strict=True))
    for number, edge in enumerate(concepts.edges):
        canvas.link(boxes, boxes[edge.source], boxes[edge.target], label_boxes.get(number))
    for number, text in labels.items():
        canvas.label(label_boxes[number], text)
    for number, text in enumerate(nodes):
        canvas.node(boxes[number], text, number)
    return Drawing(canvas.picture(), _caption(f"Concept map: {concepts.title}", legend))


class _Canvas:
    """Paper that fits the boxes, with the title on top."""

    def __init__(self, boxes: Sequence[Box], title: _Text) -> None:
        left = min(box.x - box.width / 2 for box in boxes)
        right = max(box.x + box.width / 2 for box in boxes)
        top = min(box.y - box.height / 2 for box in boxes)
        bottom = max(box.y + box.height / 2 for box in boxes)
        head = title.height + MARGIN_PX * 0.6
        width = max(right - left + 2 * MARGIN_PX, LEAST_WIDTH_PX)
        height = max(bottom - top + 2 * MARGIN_PX + head, LEAST_HEIGHT_PX)
        self._scale = SCALE * min(1.0, MOST_SIDE_PX / width, MOST_SIDE_PX / height)
        self._shift_x = (width - right - left) / 2
        self._shift_y = head + (height - head - bottom - top) / 2
        self._image = Image.new("RGB", (round(width * self._scale), round(height * self._scale)), PAPER)
        self._draw = ImageDraw.Draw(self._image)
        _write(self._draw, title, (width / 2, MARGIN_PX * 0.6), INK, self._scale, centred=True)

    def picture(self) -> Picture:
        """The finished picture."""
        width, height = self._image.size
        return encode(self._image.resize((width // SCALE, height // SCALE), Image.Resampling.LANCZOS))

    def link(self, boxes: Sequence[Box], source: Box, target: Box, label: Box | None) -> None:
        """A line through its label and around other boxes, with an arrow where there is a label to read."""
        others = [box for box in boxes if box not in (source, target, label)]
        line = _line(source, target, label, others)
        self._draw.line([self._at(point) for point in line], LINE, round(2.2 * self._scale), joint="curve")
        if label:
            self._arrow(line[-2], line[-1])

    def label(self, box: Box, text: _Text) -> None:
        """The words of a link, on a patch of paper."""
        self._draw.rounded_rectangle(self._corners(box), 6 * self._scale, PAPER)
        _write(self._draw, text, self._origin(box, text), SOFT_INK, self._scale, centred=True)

    def node(self, box: Box, text: _Text, number: int) -> None:
        """A term in its box; the first is the centre."""
        fill, border, ink = CENTRE if number == 0 else (*COLOURS[number % len(COLOURS)], INK)
        self._draw.rounded_rectangle(
            self._corners(box), 14 * self._scale, fill, border, round(2.4 * self._scale)
        )
        _write(self._draw, text, self._origin(box, text), ink, self._scale, centred=True)

    def _origin(self, box: Box, text: _Text) -> tuple[float, float]:
        return box.x + self._shift_x, box.y + self._shift_y - text.height / 2

    def _at(self, point: tuple[float, float]) -> tuple[float, float]:
        return (point[0] + self._shift_x) * self._scale, (point[1] + self._shift_y) * self._scale

    def _corners(self, box: Box) -> list[tuple[float, float]]:
        half_width, half_height = box.width / 2, box.height / 2
        return [
            self._at((box.x - half_width, box.y - half_height)),
            self._at((box.x + half_width, box.y + half_height)),
        ]

    def _arrow(self, before: tuple[float, float], tip: tuple[float, float]) -> None:
        angle = math.atan2(tip[1] - before[1], tip[0] - before[0])
        wings = [
            (tip[0] - ARROW_PX * math.cos(angle + turn), tip[1] - ARROW_PX * math.sin(angle + turn))
            for turn in (0.42, -0.42)
        ]
        self._draw.polygon([self._at(point) for point in (tip, *wings)], LINE)


def _line(source: Box, target: Box, label: Box | None, others: Sequence[Box]) -> list[tuple[float, float]]:
    """A curve through the label where nothing is in its way, else straight pieces around what is."""
    middle = (
        (label.x, label.y) if label is not None else ((source.x + target.x) / 2, (source.y + target.y) / 2)
    )
    start, end = _border(source, middle), _border(target, middle)
    bent = label is not None
    curve = _curve(start, middle, end) if bent else [start, end]
    inside = pairwise(curve[NEAR_END:-NEAR_END])
    free = all(clear(*piece, others) for piece in pairwise(curve))
    if free and all(clear(*piece, [source, target]) for piece in inside):
        return curve
    first, last = (source.x, source.y), (target.x, target.y)
    points = (
        [*route(first, middle, [*others, target])[:-1], *route(middle, last, [*others, source])]
        if bent
        else route(first, last, others)
    )
    return [_border(source, points[1]), *points[1:-1], _border(target, points[-2])]


def _border(box: Box, toward: tuple[float, float]) -> tuple[float, float]:
    """Where the line from the box's middle to a point leaves the box."""
    across, down = toward[0] - box.x, toward[1] - box.y
    if not across and not down:
        return box.x, box.y
    reach = min(
        box.width / 2 / abs(across) if across else math.inf, box.height / 2 / abs(down) if down else math.inf
    )
    return box.x + across * reach, box.y + down * reach


def _curve(
    start: tuple[float, float], middle: tuple[float, float], end: tuple[float, float]
) -> list[tuple[float, float]]:
    """A quadratic Bézier curve through ``middle`` at its half."""
    control = (2 * middle[0] - (start[0] + end[0]) / 2, 2 * middle[1] - (start[1] + end[1]) / 2)
    steps = [step / 24 for step in range(25)]
    return [
        (
            (1 - t) ** 2 * start[0] + 2 * t * (1 - t) * control[0] + t * t * end[0],
            (1 - t) ** 2 * start[1] + 2 * t * (1 - t) * control[1] + t * t * end[1],
        )
        for t in steps
    ]


def _write(
    draw: ImageDraw.ImageDraw,
    text: _Text,
    place: tuple[float, float],
    ink: str,
    scale: float,
    *,
    centred: bool = False,
) -> None:
    font = text.face.at(round(text.size * scale))
    for number, line in enumerate(text.lines):
        middle = place[1] + (number + 0.5) * text.line_height
        draw.text((place[0] * scale, middle * scale), line, ink, font, anchor="mm" if centred else "lm")


def _wrapped(text: str, size: int, face: Face, width: float, most_lines: int) -> _Text:
    """``text`` in lines of at most ``width`` pixels; what does not fit into the lines ends in an ellipsis."""
    font = face.at(size)
    lines: list[str] = []
    rest = " ".join(text.split())
    while rest and len(lines) < most_lines:
        cut = _fitting(rest, width, font.getlength)
        lines.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    if rest:
        last = lines[-1]
        while last and font.getlength(f"{last}…") > width:
            last = last[:-1]
        lines[-1] = f"{last.rstrip()}…"
    return _Text(tuple(lines), size, face)


def _fitting(text: str, width: float, measure: Callable[[str], float]) -> int:
    """How many characters fit into ``width``, ending at a space or hyphen where there is one."""
    low, high = 1, min(len(text), 400)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(text[:middle]) <= width else (low, middle - 1)
    if low == len(text) or text[low : low + 1] == " ":
        return low
    broken = max(text.rfind(" ", 0, low), text.rfind("-", 0, low) + 1)
    return broken if broken > 0 else low


def _showable(texts: Sequence[str]) -> tuple[Face, list[str], list[str]]:
    """A font, the texts as it can show them, and a legend for those that it cannot.

    What the font lacks is shown without accents if that helps, else as a number that the legend explains.
    """
    face = face_for(texts)
    shown: list[str] = []
    legend: list[str] = []
    for text in texts:
        if face.shows(text):
            shown.append(text)
        elif face.shows(plain(text)):
            shown.append(plain(text))
        else:
            legend.append(text)
            shown.append(f"({len(legend)})")
    return face, shown, legend


def _caption(text: str, legend: Sequence[str]) -> str:
    if not legend:
        return text
    named = ", ".join(f"({number}) {name}" for number, name in enumerate(legend, 1))
    return f"{text}. No font on this machine shows every character, so some texts are numbered: {named}."
