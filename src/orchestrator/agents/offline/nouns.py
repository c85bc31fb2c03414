"""Which words a text uses as nouns, and which it uses as names, as far as the text itself shows it.

There is no dictionary here. In English a noun stands after an article or a preposition and ends there, or a
verb of being follows it; in German it has a capital. What no such place shows is not taken for a noun.
"""

# Signs of other scripts are what this file is about.
# ruff: noqa: RUF001

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orchestrator.agents.offline.reading import Block, Sentence
    from orchestrator.agents.offline.words import Word

OPENERS_TEXT = """
    a about against among an another any as at between both by during each every for from her his in
    inside into its like my no of on our outside over per some than the their these this those
    through under with within without your
"""
OPENERS = frozenset(OPENERS_TEXT.split())
MOST_DESCRIBING = 2
ARTICLES = frozenset(["a", "an", "the", "each", "every"])
BEING_TEXT = """
    are can give gives had has have is make makes may must need needs take takes use uses was were
    will would
"""
BEING = frozenset(BEING_TEXT.split())
MONTHS_TEXT = """
    january february march april may june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday
"""
MONTHS = frozenset(MONTHS_TEXT.split())
NUMERALS_TEXT = """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds
    thousand thousands million millions billion billions dozen dozens half halves third thirds quarter
    first second fourth fifth sixth seventh eighth ninth tenth once twice
"""
NUMERALS = frozenset(NUMERALS_TEXT.split())
# Irregular forms of the past, which no ending gives away, and words of time and place that are no subjects.
NEVER_NOUNS_TEXT = """
    accept ago ate avoid away backward become began begun black blue bought broke broken brought
    built came caught chose chosen close cold common cost deep did done drawn drew driven drove dry
    early eaten equal fallen fast fell felt flat flew flown forgot forward fought found free froze
    frozen gave given got gotten green grew grown had heard held hid hidden hot inside kept knew
    known late led left lent lost made man matter matters meant men met nearby old outside overthrew
    overthrown pace paid poor possible probably ran red refuse refuses remain rich said sang sank
    sat saw seen sent shone short shot showed shown slept slow sold soon spent spoke spoken sprang
    spread stole stolen stood struck stuck swam swept swore sworn taken taught thick thin thing
    things thought threw thrown today together told tomorrow tonight took tore torn visible warm
    weak went wet white whole woke won wore worn wound written wrote yellow yesterday young
"""
NEVER_NOUNS = frozenset(NEVER_NOUNS_TEXT.split())
OTHER_WORDS = MONTHS | NUMERALS | NEVER_NOUNS
NO_NOUN_ENDING = re.compile(r"(?:[^aeiou]ly|ed|ous|ful|less|able|ible|['’]s|s['’])$")
GERUND = re.compile(r"ing$")
LETTERS = re.compile(r"[^\W\d_]{2}")


class Nouns:
    """What the sentences of some blocks show of their words."""

    def __init__(self, blocks: Iterable[Block], language: str) -> None:
        self._language = language
        self._shown: Counter[str] = Counter()
        self._lower: set[str] = set()
        self._opened: set[str] = set()
        self._capital: Counter[str] = Counter()
        for block in blocks:
            for sentence in block.sentences if block.kind != "heading" else ():
                self._learn(sentence)

    def holds(self, word: Word) -> bool:
        """Whether the text uses the word as a noun or a name; every word of a language without rules here."""
        folded = word.text.casefold()
        if not LETTERS.search(word.text) and self._language in ("en", "de"):
            return False
        if self._language == "de":
            return self._capital[word.stem] > 0
        if self._language != "en":
            return True
        if folded in OTHER_WORDS or NO_NOUN_ENDING.search(folded):
            return False
        return self._shown[word.stem] > 0 or self.names(word)

    def open(self, word: Word) -> bool:
        """Whether the word is seen to begin a phrase with a noun, as adjectives do and verbs do not."""
        return self._language != "en" or word.stem in self._opened or self.holds(word)

    def names(self, word: Word) -> bool:
        """Whether the word is a name: capital inside sentences, and nowhere without."""
        folded = word.text.casefold()
        return self.named(word.stem) and folded not in MONTHS | NUMERALS

    def named(self, stem: str) -> bool:
        """Whether words with this stem have a capital inside sentences, and nowhere a small letter."""
        return self._capital[stem] > 0 and stem not in self._lower

    def _learn(self, sentence: Sentence) -> None:
        for position, word in enumerate(sentence.words):
            if word.text[:1].isupper():
                self._capital[word.stem] += position > 0 or word.text[1:2].isupper()
            else:
                self._lower.add(word.stem)
        for opener, word in pairwise(sentence.words):
            if opener.text.casefold() in OPENERS:
                self._opened.add(word.stem)
        for word in _shown_nouns(sentence):
            self._shown[word.stem] += 1


def _shown_nouns(sentence: Sentence) -> Iterator[Word]:
    """Words that stand where English puts nouns."""
    for position, word in enumerate(sentence.words):
        if not word.small and _stands_as_noun(sentence, position):
            yield word


def _stands_as_noun(sentence: Sentence, position: int) -> bool:
    words = sentence.words
    word = words[position]
    before = words[position - 1] if position and _touch(sentence, position - 1) else None
    after = words[position + 1] if position + 1 < len(words) and _touch(sentence, position) else None
    opened = before is not None and before.text.casefold() in OPENERS
    takes_object = after is not None and after.text.casefold() in ARTICLES
    if GERUND.search(word.text) and (before is None or takes_object or before.text.casefold() == "by"):
        return False
    if opened and after is not None and _has_a_verb_behind(words, position):
        return True
    if after is not None and not after.small:
        return False
    is_subject = after is not None and after.text.casefold() in BEING
    return opened or is_subject or (before is not None and _ends_a_noun_phrase(sentence, position))


def _touch(sentence: Sentence, position: int) -> bool:
    """Whether nothing but a space stands between this word and the next."""
    one, other = sentence.words[position : position + 2]
    return sentence.text[one.end : other.start] == " "


def _has_a_verb_behind(words: Sequence[Word], position: int) -> bool:
    """Whether "the X does the" is what stands here."""
    before, after = words[position - 1], words[position + 1]
    further = words[position + 2].text.casefold() if position + 2 < len(words) else ""
    verb = after.text.endswith(("s", "ed")) or after.text.casefold() in NEVER_NOUNS
    return before.text.casefold() in ARTICLES and verb and not after.small and further in OPENERS


def _ends_a_noun_phrase(sentence: Sentence, position: int) -> bool:
    """Whether an article or preposition, one or two words, and then this word fill the place of a noun.

    A verb can end such a run too ("the cycle begins", "the cells grow"), so a word in -s needs a stop,
    "of" or "and" behind it, and one without has no plural before it.
    """
    words = sentence.words
    word = words[position]
    back = 1
    while back < position and not words[position - back].small and back <= MOST_DESCRIBING:
        back += 1
    opener = words[position - back]
    if opener.text.casefold() not in OPENERS:
        return False
    before = words[position - 1].text
    rest = sentence.text[word.end :].lstrip()
    if _plural(word.text):
        return rest[:1] in ".,;:)" or rest.startswith(("of ", "and "))
    return not (_plural(before) and position - back < position - 1)


def _plural(word: str) -> bool:
    return word.endswith("s") and not word.endswith(("ss", "us", "is"))
