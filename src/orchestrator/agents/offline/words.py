"""Sentences and words of any script."""

# Signs and letters of other scripts are what this file is about.
# ruff: noqa: RUF001

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.agents.offline.languages import stem, stopwords

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SENTENCE_CHARS = 400  # what has no full stop for so long is cut at a space
MAX_WORD_CHARS = 60
LONG_WORD_LETTERS = 6  # Björnsson's LIX counts words of more letters as long

ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|cf|vs|ca|approx|fig|figs|eq|no|vol|pp?|ch|sec|dr|mr|mrs|ms|prof|st|al|jr|sr|inc|z\.B"
    r"|d\.h|bzw|usw|Nr|Abb)|\b[A-Z])\.$",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』”’）]*|[؟۔।](?=\s|$)|\n{2,}")
CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
# Latin and other spaced scripts by word; Han by run, katakana by run; hiragana only joins words.
WORD = re.compile(
    rf"[\u30a1-\u30ff]+|[\u3400-\u4dbf\u4e00-\u9fff]+|(?:(?![{CJK}_])[\w\u0300-\u036f])+"
    rf"(?:['’\-‐+#/](?:(?![{CJK}_])\w)+)*[+#]*"
)
# A dollar with a space inside it, or a digit behind it, is money (the rule of Pandoc).
# Addresses, tags, formulas, Markdown pictures and boxes to tick: signs for machines, not words.
MARKUP = re.compile(
    r"https?://\S+|www\.\S+|<script\b.*?(?:</script>|$)|</?[A-Za-z!][^<>\n]{0,200}>|\$\$?(?=\S)[^$\n]{1,200}(?<=\S)\$(?!\d)\$?"
    r"|\\[a-zA-Z]+(?:\{[^{}\n]{0,100}\})*|\\[(\[]|!?\[[^\]\n]{0,200}\]\([^)\n]{0,300}\)"
    r"|^\[[ xX]\](?=\s)|&\w{2,8};"
)
HAN = re.compile(r"^[\u3400-\u4dbf\u4e00-\u9fff]+$")
# Chinese function characters: they stand between terms as "of" and "and" do in English.
HAN_JOINTS = re.compile(
    r"[的了是在和与或及等有为这那也不都而被把从到以于其之所对由将会能可就还很我你他她它们上下中并]"
)
HAN_TERM_CHARS = 6


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is written, its stem, and where it stands in its sentence."""

    text: str
    stem: str
    start: int
    end: int
    small: bool


def sentences(text: str) -> list[str]:
    """The sentences of ``text``, each a stretch of it without the white space around."""
    found: list[str] = []
    for sentence in _by_full_stop(text):
        found.extend(_in_reach(sentence))
    return found


def _by_full_stop(text: str) -> Iterator[str]:
    start = 0
    for end in SENTENCE_END.finditer(text):
        sentence = text[start : end.end()]
        following = text[end.end() : end.end() + 2].lstrip()
        goes_on = end.group()[0] == "." and (following[:1].islower() or ABBREVIATION.search(sentence[-12:]))
        if goes_on:
            continue
        if sentence.strip():
            yield sentence.strip()
        start = end.end()
    if text[start:].strip():
        yield text[start:].strip()


def _in_reach(sentence: str) -> Iterator[str]:
    rest = sentence
    while len(rest) > MAX_SENTENCE_CHARS:
        cut = max(
            rest.rfind(mark, MAX_SENTENCE_CHARS // 2, MAX_SENTENCE_CHARS) for mark in (" ", "，", "、", "\n")
        )
        cut = cut + 1 if cut > 0 else MAX_SENTENCE_CHARS
        if rest[:cut].strip():
            yield rest[:cut].strip()
        rest = rest[cut:].strip()
    if rest:
        yield rest


def words(sentence: str, language: str) -> list[Word]:
    """The words of a sentence, small ones marked."""
    small = stopwords(language)
    found = []
    markup = [match.span() for match in MARKUP.finditer(sentence)]
    for match in WORD.finditer(sentence):
        inside = any(start <= match.start() < end for start, end in markup)
        for start, text in _pieces(match):
            folded = text.casefold().replace("’", "'").removesuffix("'s")
            if len(text) > MAX_WORD_CHARS:
                continue
            is_small = inside or folded in small or folded.isnumeric() or _says_little(folded, language)
            found.append(Word(text, stem(folded, language), start, start + len(text), is_small))
    return found


def _says_little(word: str, language: str) -> bool:
    """Whether it is a single letter; a single Han character is a word in Japanese, seldom in Chinese."""
    return len(word) == 1 and not (language == "ja" and HAN.match(word))


def _pieces(match: re.Match[str]) -> Iterator[tuple[int, str]]:
    """The match itself; a run of Han characters is parted at function characters, then into short terms."""
    text = match.group()
    if not HAN.match(text):
        yield match.start(), text
        return
    start = 0
    for part in HAN_JOINTS.split(text):
        step = len(part) if len(part) <= HAN_TERM_CHARS else 2
        for offset in range(0, len(part), step or 1):
            yield match.start() + start + offset, part[offset : offset + step]
        start += len(part) + 1


def count_words(text: str) -> int:
    """How many words a text has as people count them: what spaces part, and each Chinese or Japanese sign."""
    signs = re.findall(rf"[{CJK}]", text)
    others = re.sub(rf"[{CJK}]+", " ", text).split()
    return len(signs) + sum(any(map(str.isalnum, piece)) for piece in others)


def lix(all_sentences: list[str]) -> float | None:
    """Björnsson's readability index: words per sentence plus the percentage of long words.

    Under 30 reads like a children's book, over 60 like a law. None where nothing is written in words with
    spaces between them.
    """
    counted = [re.findall(r"[^\W\d_]+", sentence) for sentence in all_sentences]
    total = sum(map(len, counted))
    letters = "".join(all_sentences[:50])
    if not total or re.search(rf"[{CJK}]", letters):
        return None
    long = sum(len(word) > LONG_WORD_LETTERS for sentence in counted for word in sentence)
    return total / len(all_sentences) + 100 * long / total
