"""Reading what a learner brings: Markdown or plain text becomes headings, sentences and parts kept whole."""

# Signs and letters of other scripts are what this file is about.
# ruff: noqa: RUF001

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

from orchestrator.agents.offline import languages
from orchestrator.agents.offline.markdown import escaped
from orchestrator.agents.offline.words import Word, sentences, words

if TYPE_CHECKING:
    from markdown_it.token import Token

MAX_LINE_CHARS = 20_000  # longer lines are no prose; the parser's inline rules are slow on them
MAX_EMPHASIS_WORDS = 5
MAX_HEADING_WORDS = 9
PROSE_LETTER_SHARE = 0.9  # of all characters; code has more signs than that
MAX_HEADING_CHARS = 80
TICK_BOX = re.compile(r"^\[[ xX]\]\s+")


@dataclass(frozen=True, slots=True)
class Material:
    """A text or Markdown that a learner brings."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the materials, without markup, and its words."""

    text: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a material.

    ``kind`` is heading, prose, item, code or table. ``text`` has no markup; ``raw`` is what is shown whole:
    code as it is, a table as Markdown. ``level`` is that of a heading, or the depth of a list item.
    """

    kind: str
    material: int
    text: str
    level: int = 0
    raw: str = ""
    language: str = ""
    sentences: tuple[Sentence, ...] = ()
    emphasised: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """All materials, read."""

    materials: tuple[Material, ...]
    blocks: tuple[Block, ...]
    language: str


@lru_cache(maxsize=4)
def read(materials: tuple[Material, ...]) -> Reading:
    """Read the materials, in their order. The last few readings are remembered: each step asks again."""
    language = languages.most_common(languages.guess(material.text) for material in materials)
    blocks: list[Block] = []
    for number, material in enumerate(materials):
        blocks.extend(_with_headings(_Reader(number, language).read(_readable(material.text))))
    return Reading(materials, tuple(blocks), language)


def _with_headings(blocks: list[Block]) -> list[Block]:
    """The blocks of a material, with what serves as a heading made one where it has no Markdown headings.

    In notes that is a short list item with deeper items below; in plain text a short line of its own.
    """
    if not blocks or any(block.kind == "heading" for block in blocks):
        return blocks
    following = [*blocks[1:], None]
    return [
        replace(block, kind="heading", level=block.level + 2 - (position == 0))
        if after is not None and _serves_as_heading(block, after)
        else block
        for position, (block, after) in enumerate(zip(blocks, following, strict=True))
    ]


def _serves_as_heading(block: Block, after: Block) -> bool:
    short = len(block.text.split()) <= MAX_HEADING_WORDS and not block.text.endswith(
        tuple(".!?:;,。！？、，…")
    )
    if not short or len(block.text) > MAX_HEADING_CHARS or not block.text[:1].isalnum():
        return False
    if block.kind == "item":
        return after.kind == "item" and after.level > block.level
    return block.kind == "prose" and not block.text[:1].islower()


def _readable(text: str) -> str:
    """``text`` with its overlong lines broken at a space."""
    cleaned = text.replace("\r\n", "\n").replace("\x00", " ")
    return "\n".join(
        "\n".join(line[start : start + MAX_LINE_CHARS] for start in range(0, len(line), MAX_LINE_CHARS))
        if len(line) > MAX_LINE_CHARS
        else line
        for line in cleaned.split("\n")
    )


class _Reader:
    """One pass over the parser's tokens."""

    def __init__(self, material: int, language: str) -> None:
        self._material = material
        self._language = language
        self._blocks: list[Block] = []
        self._row: list[str] | None = None
        self._rows: list[list[str]] = []
        self._depth = 0
        self._heading = 0

    def read(self, text: str) -> list[Block]:
        parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        for token in parser.parse(text):
            self._take(token)
        return self._blocks

    def _take(self, token: Token) -> None:
        match token.type:
            case "heading_open":
                self._heading = int(token.tag[1])
            case "heading_close":
                self._heading = 0
            case "bullet_list_open" | "ordered_list_open":
                self._depth += 1
            case "bullet_list_close" | "ordered_list_close":
                self._depth -= 1
            case "fence" | "code_block":
                self._take_code(token)
            case "tr_open":
                self._row = []
            case "tr_close":
                self._rows.append(self._row or [])
                self._row = None
            case "table_close":
                self._take_table()
            case "inline":
                self._take_text(token)
            case _:
                pass

    def _take_code(self, token: Token) -> None:
        # Indented text is code to Markdown, but in plain text it is an indented paragraph.
        if token.type == "code_block" and len(sentences(token.content)) > 1 and _is_prose(token.content):
            self._add("prose", " ".join(token.content.split()))
        elif token.content.strip():
            block = Block("code", self._material, "", raw=token.content.rstrip(), language=token.info.strip())
            self._blocks.append(block)

    def _take_table(self) -> None:
        if self._rows:
            self._blocks.append(Block("table", self._material, "", raw=_table(self._rows)))
        self._rows = []

    def _take_text(self, token: Token) -> None:
        text, emphasised, links = _plain(token)
        if self._row is not None:
            self._row.append(text)
        elif self._heading:
            self._add("heading", text, level=self._heading)
        else:
            text = TICK_BOX.sub("", text) if self._depth else text
            self._add("item" if self._depth else "prose", text, self._depth, emphasised, links)

    def _add(
        self,
        kind: str,
        text: str,
        level: int = 0,
        emphasised: tuple[str, ...] = (),
        links: tuple[tuple[str, str], ...] = (),
    ) -> None:
        if not text:
            return
        parts = [text] if kind == "heading" else sentences(text)
        read_sentences = tuple(Sentence(part, tuple(words(part, self._language))) for part in parts)
        self._blocks.append(
            Block(
                kind,
                self._material,
                text,
                level,
                sentences=read_sentences,
                emphasised=emphasised,
                links=links,
            )
        )


def _plain(token: Token) -> tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The words of a line without markup, what is emphasised in it, and its links."""
    pieces: list[str] = []
    emphasised: list[str] = []
    links: list[tuple[str, str]] = []
    opened: list[tuple[int, str]] = []
    for child in token.children or ():
        if child.type in ("strong_open", "em_open", "link_open"):
            opened.append((len(pieces), str(child.attrGet("href") or "")))
        elif child.type in ("strong_close", "em_close", "link_close") and opened:
            start, address = opened.pop()
            inside = "".join(pieces[start:])
            if address.startswith(("http://", "https://")):
                links.append((inside, address))
            elif 0 < len(inside.split()) <= MAX_EMPHASIS_WORDS:
                emphasised.append(inside.strip(" .,:;"))
        elif child.type == "code_inline":
            pieces.append(child.content)
            emphasised.append(child.content)
        elif child.type == "image":
            pieces.append("")
        else:
            pieces.append(" " if child.type in ("softbreak", "hardbreak") else child.content)
    return " ".join("".join(pieces).split()), tuple(emphasised), tuple(links)


def _is_prose(text: str) -> bool:
    letters = sum(character.isalpha() or character.isspace() for character in text)
    return letters / len(text) > PROSE_LETTER_SHARE


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)
