"""Key terms: which words and phrases a text is about.

Candidates are runs of content words, as in RAKE (Rose et al. 2010); their weight is the C-value of Frantzi
et al. (2000): frequency, more for longer phrases, less what only ever occurs inside a longer one. What the
author set as a heading, in bold, or defined weighs more, and a term that some parts of the text hold and
others do not weighs more than one that is everywhere (inverse document frequency).
"""

# Signs of other scripts are what this file is about.
# ruff: noqa: RUF001

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.agents.offline.languages import STOPWORDS, stem
from orchestrator.agents.offline.nouns import MONTHS, OTHER_WORDS, Nouns
from orchestrator.agents.offline.reading import Material, read
from orchestrator.agents.offline.words import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from orchestrator.agents.offline.reading import Block, Sentence
    from orchestrator.agents.offline.words import Word

Key = tuple[str, ...]

MAX_TERM_WORDS = 3
MAX_NAME_WORDS = 6
NAME_JOINTS = frozenset(["of", "the"])
HEADING_WEIGHT = 3.0
EMPHASIS_WEIGHT = 3.0
PART_SENTENCES = 8
ENOUGH_TERMS = 3
# A term weighs in a part by the share of its occurrences that stand there, to the power of:
PRESENT = 0.5  # for the terms that matter in the part
TELLING = 2.0  # for the terms that set the part apart
# Words of English that fill texts on any subject, most of them verbs, so that they head no term.
COMMON_ENGLISH_TEXT = """
    able act add allow answer appear apply area ask back bad base basic become begin best better big
    bring build case cause certain change chapter choose clear close come common compare complete
    consider consist contain continue control create day deal depend describe develop difference
    different difficult discuss easy effect end ensure example exist explain fact fail fall far feature
    find follow form full general good great group grow happen hard help high hold hour idea important
    improve include increase involve kind know large later lead learn least leave left lesson level like
    list long look lose lot low main make man mean mention method minute move name necessary need new
    note number occur old open order page part particular people perform place point possible present
    problem produce provide purpose put question read reason receive reduce refer relate release remain
    remember require rest result return right rise role rule run second section seem send serve set show
    similar simple single slide small sort specific stand start state stay step stop strong study
    support talk tell term text thing think time today topic total try turn type understand use useful
    usual value various want way week whole wide word work world write wrong year bit convert store
    combine carry reach respond split travel arrive drop wait double pass mark absorb capture power
    enter willing lecture exam homework hint
"""
COMMON_ENGLISH = frozenset(COMMON_ENGLISH_TEXT.split())
COMMON_STEMS = frozenset(stem(word, "en") for word in COMMON_ENGLISH | STOPWORDS["en"])
NOT_HEAD = re.compile(r"(?:ly|ed|ous|ful|less)$")
NOT_FIRST = re.compile(r"(?:ly|['’]s|s['’])$")
VERB_ENDING = re.compile(r"(?:es|ed|ing)$")


@dataclass(frozen=True, slots=True)
class Term:
    """A word or phrase as the text mostly writes it, how often it stands there, and its weight."""

    text: str
    count: int
    weight: float


@lru_cache(maxsize=4)
def terms_of(materials: tuple[Material, ...]) -> TermIndex:
    """The terms of all the materials; the last few answers are remembered, since each step asks again."""
    reading = read(materials)
    return TermIndex(reading.blocks, reading.language)


class TermIndex:
    """All candidate terms of some blocks, weighed."""

    def __init__(self, blocks: Sequence[Block], language: str) -> None:
        self._language = language
        self._spellings: dict[Key, Counter[str]] = defaultdict(Counter)
        self._counts: Counter[Key] = Counter()
        self._parts: dict[Key, set[int]] = defaultdict(set)
        self._bonus: Counter[Key] = Counter()
        self._part_count = 1
        self._common = COMMON_STEMS if language == "en" else frozenset()
        self._nouns = Nouns(blocks, language)
        for block in blocks:
            self._count(block)
        self._weights = self._weigh()

    def best(self, limit: int) -> list[Term]:
        """The weightiest terms of all blocks."""
        return self._chosen(self._weights, limit)

    def within(self, blocks: Sequence[Block], limit: int, *, telling: bool = False) -> list[Term]:
        """The weightiest terms in ``blocks``; with ``telling`` those that hardly stand elsewhere."""
        here = Counter(
            tuple(word.stem for word in phrase)
            for block in blocks
            for sentence in block.sentences
            for phrase in self._candidates(sentence)
        )
        power = TELLING if telling else PRESENT
        weights = {
            key: self._weights[key] * (count / self._counts[key]) ** power
            for key, count in here.items()
            if key in self._weights
        }
        return self._chosen(weights, limit)

    def _chosen(self, weights: Mapping[Key, float], limit: int) -> list[Term]:
        """The best, none of which lies inside another; what stands there once only counts in short texts."""
        chosen: list[Key] = []
        order = sorted(weights, key=lambda key: (-weights[key], key))
        repeated = [key for key in order if self._counts[key] > 1 or self._bonus[key] or self._is_name(key)]
        for key in repeated if len(repeated) >= ENOUGH_TERMS else order:
            if len(chosen) == limit:
                break
            if not any(_overlap(key, other) for other in chosen):
                chosen.append(key)
        return [Term(self._spelling(key), self._counts[key], round(weights[key], 4)) for key in chosen]

    def is_noun(self, word: str) -> bool:
        """Whether the materials use this word as a noun."""
        return any(self._nouns.holds(found) for found in words(word, self._language))

    def weight(self, sentence: Sentence) -> float:
        """How much of what matters a sentence holds, by its single words."""
        stems = {word.stem for word in sentence.words if not word.small}
        return sum(self._weights.get((word,), 0.0) for word in sorted(stems))

    def _count(self, block: Block) -> None:
        for number, sentence in enumerate(block.sentences, 1):
            for phrase in self._candidates(sentence):
                self._add(phrase, sentence, HEADING_WEIGHT if block.kind == "heading" else 0.0)
            self._part_count += number % PART_SENTENCES == 0
        self._part_count += block.kind == "heading"
        for emphasised in block.emphasised:
            key = tuple(stem(word.casefold(), self._language) for word in emphasised.split())
            if key in self._counts:
                self._bonus[key] += 1

    def _add(self, phrase: list[Word], sentence: Sentence, bonus: float) -> None:
        key = tuple(word.stem for word in phrase)
        if not self._may_be_term(phrase, key):
            return
        self._counts[key] += 1
        self._parts[key].add(self._part_count)
        self._spellings[key][sentence.text[phrase[0].start : phrase[-1].end]] += 1
        if bonus:
            self._bonus[key] += 1

    def _may_be_term(self, phrase: list[Word], key: Key) -> bool:
        if self._language != "en":
            return True
        if len(phrase) > 1 and all(_capital(phrase[end]) for end in (0, -1)):
            return all(word.text.casefold() not in MONTHS for word in phrase)
        head, first = phrase[-1].text.casefold(), phrase[0].text.casefold()
        if key[-1] in self._common or NOT_HEAD.search(head) or NOT_FIRST.search(first):
            return False
        if first in OTHER_WORDS or not self._nouns.holds(phrase[-1]):
            return False
        if not all(self._nouns.open(word) for word in phrase[:-1]):
            return False
        return key[0] not in self._common

    def _candidates(self, sentence: Sentence) -> Iterator[list[Word]]:
        """Runs of content words, names of several words whole."""
        if self._language != "en":
            for run in _runs(sentence):
                yield from _phrases(run)
            return
        taken: set[int] = set()
        for name in _names(sentence):
            taken.update(word.start for word in name)
            yield name
        for run in _runs(sentence):
            for phrase in _phrases(run):
                if not any(word.start in taken for word in phrase):
                    yield phrase

    def _weigh(self) -> dict[Key, float]:
        nested: Counter[Key] = Counter()
        for key, count in self._counts.items():
            if count > 1 and len(key) > 1:
                nested[key[1:]] += count
                nested[key[:-1]] += count
        weights = {}
        for key, count in self._counts.items():
            alone = count - nested[key]
            once = len(key) > 1 and count == 1 and not self._bonus[key]
            if (once and not self._is_name(key)) or alone <= 0:
                continue
            spread = 1 + math.log((1 + self._part_count) / (1 + len(self._parts[key])))
            emphasis = 1 + (EMPHASIS_WEIGHT if self._bonus[key] else 0)
            weights[key] = math.log2(1 + len(key)) * math.log2(1 + max(alone, 0.5)) * spread * emphasis
        return weights

    def _is_name(self, key: Key) -> bool:
        if self._language != "en":
            return False
        capital = all(spelling[:1].isupper() for spelling in self._spellings[key])
        return capital and (len(key) > 1 or self._nouns.named(key[0]))

    def _spelling(self, key: Key) -> str:
        """The usual spelling; one that is not just the start of a sentence, where there is one."""
        every = self._spellings[key]
        english = self._language == "en"
        nouns = [spelling for spelling in every if english and not VERB_ENDING.search(spelling)]
        counted = {spelling: every[spelling] for spelling in nouns or every}
        lower = [spelling for spelling in counted if spelling[:1].islower()]
        if lower and not any(character.isupper() for spelling in lower for character in spelling):
            return max(lower, key=lambda spelling: (counted[spelling], -len(spelling), spelling))
        return max(counted, key=lambda spelling: (counted[spelling], -len(spelling), spelling))


def mentions(sentence: Sentence, key: Key) -> Iterator[tuple[int, int]]:
    """Where the term stands in the sentence, as first and last character."""
    stems = [word.stem for word in sentence.words]
    for start in range(len(stems) - len(key) + 1):
        if tuple(stems[start : start + len(key)]) == key:
            yield sentence.words[start].start, sentence.words[start + len(key) - 1].end


def key_of(words: Iterable[Word]) -> Key:
    """The key of a term that was read into words."""
    return tuple(word.stem for word in words)


def _runs(sentence: Sentence) -> Iterator[list[Word]]:
    """Content words that follow each other with nothing but a space between."""
    run: list[Word] = []
    for word in sentence.words:
        touching = not run or sentence.text[run[-1].end : word.start] in ("", " ")
        if run and (word.small or not touching):
            yield run
            run = []
        if not word.small:
            run.append(word)
    if run:
        yield run


def _names(sentence: Sentence) -> Iterator[list[Word]]:
    """Names of several words with capitals: "National Assembly", "Committee of Public Safety"."""
    name: list[Word] = []
    joints: list[Word] = []
    for position, word in enumerate(sentence.words):
        near = not name or sentence.text[(joints or name)[-1].end : word.start] == " "
        if near and _capital(word) and not (position == 0 and word.small):
            name += [*joints, word]
            joints = []
        elif near and name and word.text in NAME_JOINTS and (joints or word.text == "of"):
            joints.append(word)
        else:
            yield from _whole(name)
            name, joints = ([word] if _capital(word) and position else []), []
    yield from _whole(name)


def _whole(name: list[Word]) -> Iterator[list[Word]]:
    if 1 < len(name) <= MAX_NAME_WORDS and not name[0].small:
        yield name


def _capital(word: Word) -> bool:
    return word.text[:1].isupper()


def _phrases(run: list[Word]) -> Iterator[list[Word]]:
    for size in range(1, min(MAX_TERM_WORDS, len(run)) + 1):
        for start in range(len(run) - size + 1):
            yield run[start : start + size]


def _overlap(one: Key, other: Key) -> bool:
    """Whether one term lies inside the other."""
    short, long = sorted((one, other), key=len)
    return any(long[start : start + len(short)] == short for start in range(len(long) - len(short) + 1))
