"""Fonts for pictures: Source Sans for Latin, Greek and Cyrillic, one of the machine's for other scripts.

No picture shows empty boxes: what no font can show is left to the caption.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import font_source_sans_pro  # type: ignore[import-untyped]
from PIL import ImageFont

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL.ImageFont import FreeTypeFont

PROBE_SIZE = 24
OWN_FONT: str = font_source_sans_pro.font_files_ttf["SourceSansPro"]
UNASSIGNED = "\U0010ffff"  # never a character, so every font shows its empty box for it
# By file name; Pillow looks in the places where Linux, macOS and Windows keep fonts.
SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "ipag.ttf",
    "Arial Unicode.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "Arial.ttf",
    "arial.ttf",
    "segoeui.ttf",
    "msyh.ttc",
    "msgothic.ttc",
    "malgun.ttf",
)


@dataclass(frozen=True, slots=True)
class Face:
    """A font by file name; the one that comes with us unless named."""

    name: str = OWN_FONT

    def at(self, size: int) -> FreeTypeFont:
        """The font at ``size`` pixels."""
        return _load(self.name, size)

    def shows(self, text: str) -> bool:
        """Whether the font has every character of ``text``."""
        return all(_has(self.name, character) for character in set(text) if not _invisible(character))


def face_for(texts: Iterable[str]) -> Face:
    """The first font that shows all the texts, else the one that shows most of them."""
    wanted = list(texts)
    own = Face()
    if all(own.shows(text) for text in wanted):
        return own
    faces = (own, *(Face(name) for name in SYSTEM_FONTS if _exists(name)))
    return max(faces, key=lambda face: sum(face.shows(text) for text in wanted))


def plain(text: str) -> str:
    """``text`` without accents and compatibility forms, for fonts that lack them."""
    return "".join(
        character for character in unicodedata.normalize("NFKD", text) if not unicodedata.combining(character)
    )


def _invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cf", "Mn", "Me")


@lru_cache(maxsize=64)
def _load(name: str, size: int) -> FreeTypeFont:
    return ImageFont.truetype(name, size)


@lru_cache(maxsize=64)
def _exists(name: str) -> bool:
    try:
        _load(name, PROBE_SIZE)
    except OSError:
        return False
    return True


@lru_cache(maxsize=20_000)
def _has(name: str, character: str) -> bool:
    return _shape(name, character) != _shape(name, UNASSIGNED)


@lru_cache(maxsize=20_000)
def _shape(name: str, character: str) -> bytes:
    mask = _load(name, PROBE_SIZE).getmask(character)
    return repr(mask.size).encode() + bytes(mask)
