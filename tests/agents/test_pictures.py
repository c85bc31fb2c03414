"""Pictures drawn here: true JPEG files in which nothing overlaps."""

from __future__ import annotations

from io import BytesIO
from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from orchestrator.agents.fonts import face_for
from orchestrator.agents.layout import GAP_PX, Box, arrange
from orchestrator.agents.offline import ConceptMap, Edge
from orchestrator.agents.pictures import draw_concept_map
from orchestrator.agents.routing import clear, route

MAP = ConceptMap(
    "Photosynthesis",
    ("photosynthesis", "chloroplast", "light-dependent reactions", "stroma"),
    (Edge(1, 0, "is where it happens"), Edge(2, 1), Edge(3, 1, "fills")),
)


def test_pictures_are_jpeg_files_of_the_size_they_say() -> None:
    """They start with the JPEG mark, decode, and are the same every time."""
    drawing = draw_concept_map(MAP)
    image = Image.open(BytesIO(drawing.picture.jpeg))
    image.load()
    assert image.format == "JPEG"
    assert image.size == (drawing.picture.width, drawing.picture.height)
    assert max(image.size) <= 2_048
    assert draw_concept_map(MAP) == drawing


def test_the_caption_names_what_is_drawn() -> None:
    """A Latin text needs no excuse."""
    assert draw_concept_map(MAP).caption == "Concept map: Photosynthesis"


def test_what_no_font_shows_is_numbered_and_explained() -> None:
    """No picture has empty boxes: a text in a script that no font has is named in the caption."""
    unknown = "\U000e0fff\U0010fff0"
    drawing = draw_concept_map(ConceptMap(unknown, ("sign", unknown * 2), (Edge(0, 1),)))
    assert f"(1) {unknown}, (2) {unknown * 2}." in drawing.caption
    assert not face_for([unknown]).shows(unknown)


def test_accents_and_signs_are_shown() -> None:
    """The font is chosen by what the text needs."""
    for text in ("Größe, élan, señor", "3 — “quotes” …"):
        assert face_for([text]).shows(text)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.floats(20, 260), st.floats(20, 120)), min_size=1, max_size=24),
    ends=st.lists(st.tuples(st.integers(0, 23), st.integers(0, 23)), max_size=30),
)
def test_no_two_boxes_overlap(sizes: list[tuple[float, float]], ends: list[tuple[int, int]]) -> None:
    """Whatever is linked with whatever, every box stands clear of the others."""
    boxes = [Box(width, height) for width, height in sizes]
    springs = [(one % len(boxes), other % len(boxes)) for one, other in ends]
    arrange(boxes, springs, labels_from=max(1, len(boxes) - 8))
    for one, other in combinations(boxes, 2):
        across, down = one.overlap(other, gap=GAP_PX - 1)
        assert across <= 0 or down <= 0


@settings(max_examples=40, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=12, unique=True))
def test_no_line_runs_behind_a_box(places: list[tuple[int, int]]) -> None:
    """A line between two boxes goes around the others, which have a gap between them."""
    boxes = [Box(100, 60, x * (100 + GAP_PX), y * (60 + GAP_PX)) for x, y in places]
    source, target, *others = boxes
    way = route((source.x, source.y), (target.x, target.y), others)
    assert (way[0], way[-1]) == ((source.x, source.y), (target.x, target.y))
    assert all(clear(one, other, others) for one, other in pairwise(way))


@settings(max_examples=25, deadline=None)
@given(title=st.text(max_size=120), names=st.lists(st.text(max_size=120), min_size=1, max_size=8))
def test_any_text_can_be_drawn(title: str, names: list[str]) -> None:
    """Long, empty, unprintable or of any script."""
    edges = tuple(Edge(0, number, name) for number, name in enumerate(names) if number)
    assert draw_concept_map(ConceptMap(title, tuple(names), edges)).picture.jpeg
