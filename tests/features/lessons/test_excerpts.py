"""The part of long materials that a prompt takes."""

from __future__ import annotations

from orchestrator.features.lessons.excerpts import excerpts
from orchestrator.features.lessons.lesson import Material
from orchestrator.features.lessons.repository import titled


def test_what_fits_is_taken_whole() -> None:
    """Nothing is cut without need."""
    materials = [Material(title="A", text="one\n\ntwo")]
    assert excerpts(materials, "two", 100) == materials


def test_what_does_not_fit_is_chosen_by_the_words_it_shares() -> None:
    """The paragraphs closest to the matter, in their own order, under their own titles."""
    materials = [
        Material(title="A", text="Nothing to see here.\n\nThe moon pulls water.\n\nMore of nothing."),
        Material(title="B", text="Gravity of the moon.\n\nBread and butter."),
        Material(title="C", text="Bread alone, without butter."),
    ]
    chosen = excerpts(materials, "moon gravity pulls", 45)
    assert [(each.title, each.text) for each in chosen] == [
        ("A", "The moon pulls water."),
        ("B", "Gravity of the moon."),
    ]


def test_a_text_without_paragraphs_is_cut_into_pieces() -> None:
    """A megabyte on one line still gives an excerpt within the limit."""
    chosen = excerpts([Material(title="A", text="word " * 200_000)], "word", 10_000)
    assert 0 < sum(len(each.text) for each in chosen) <= 10_000


def test_a_text_is_called_by_its_first_heading() -> None:
    """Or by its place where it has none."""
    assert titled("\n# Tides and moons #\n\nText", 1) == "Tides and moons"
    assert titled("Text\n\n# Later", 2) == "Material 2"
