"""Telling languages apart by script and by their small words, which also separate terms from each other.

The lists are short on purpose: they need the words that every page holds, not every word that carries
little meaning.
"""

# Signs and letters of other scripts are what this file is about.
# ruff: noqa: RUF001

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import snowballstemmer  # type: ignore[import-untyped] # it has no stubs

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN = "und"  # ISO 639-2's own code for an undetermined language
SAMPLE_CHARS = 20_000
ENOUGH_SHARE = 0.12  # of all words; running text of a known language has two to four times as many

SMALL_WORDS = {
    "en": """
        a about above across after again against all almost along already also although always am among
        an and another any anyone anything are around as at away be became because become becomes been
        before behind being below between both but by came can cannot could did do does doing done down
        during each either else enough etc even ever every everything few first for from further get
        gets give given gives go goes had has have having he hence her here hers him his how however i
        if in indeed instead into is it its itself just keep kept largely last later least less let like
        made mainly make makes many may maybe me might more moreover most mostly much must my near
        nearly need needs neither never next no nor not nothing now of off often on once one only onto
        or other others otherwise our out over own per perhaps please quite rather really same say says
        second see seen several shall she should simply since so some something sometimes soon still
        such take taken takes than that the their them then there thereby therefore these they thing
        things this those though three through throughout thus to together too toward towards two under
        unless until up upon us use used uses using usually very via was way we well went were what
        whatever when where whereas whether which while who whole whom whose why will with within
        without would yes yet you your called call calls known i.e e.g vs himself herself themselves myself
        yourself ourselves oneself both each neither
    """,
    "de": """
        aber alle als also am an auch auf aus bei bis bzw da damit dann das dass dem den denn der des
        dessen die dies diese diesem diesen dieser dieses doch dort du durch ein eine einem einen einer
        eines er es etwa für gegen hat haben hier ich ihr ihre im in indem ist ja jede jeder jedes kann
        kein keine können man mehr mit muss nach nicht noch nur ob oder ohne schon sehr sein seine sich
        sie sind so sowie um und uns unter vom von vor war waren was weil wenn wer werden wie wird wo
        wurde zu zum zur zwischen über
    """,
    "fr": """
        a à afin ainsi alors après au aussi autre aux avec avoir c ça car ce cela ces cette chaque comme
        d dans de des donc dont du elle elles en encore entre est et été être fait il ils j je l la le
        les leur leurs lors lui mais même moins n ne non nos notre nous on ont ou où par pas pendant peu
        peut plus pour puis qu quand que quel qui s sa sans se ses si son sont sous sur ta tous tout
        toute très tu un une vers vous y
    """,
    "es": """
        a al algo ante así aunque cada como con contra cual cuando de del desde donde dos el ella ellos
        en entre era es esa ese eso esta está están este esto estos fue ha hacia han hasta hay la las le
        les lo los más me mientras muy no nos o otra otro para pero por porque puede pueden que qué se
        según ser si sí sin sobre son su sus también tan tiene tienen todo todos tras un una uno unos y
        ya
    """,
    "it": """
        a ad ai al alla alle allo anche ancora che chi ci ciò come con così cui da dai dal dalla dalle
        degli dei del della delle dello di dove e è ed fra gli ha hanno i il in io la le lo loro ma
        mentre molto ne nei nel nella nelle non o ogni per perché però più può poi quale quando quella
        quello questa questo se si sia sono su sua sui sul sulla suo tra tutti un una uno
    """,
    "pt": """
        a ao aos as às até cada com como da das de del dela dele depois do dos e é ela ele eles em entre
        era essa esse esta está este eu foi há isso já lhe mais mas mesmo muito na nas não nem no nos o
        os ou para pela pelas pelo pelos pode podem por porque quando que quem são se sem ser seu seus
        sob sobre sua suas também tem têm um uma
    """,
    "nl": """
        aan al alle als bij dan dat de deze die dit door dus een en er geen had heeft het hier hij hoe
        hun ik in is je kan kunnen maar meer men met mijn na naar niet nog nu of om onder ook op over te
        tegen tot uit van veel voor waar wanneer was wat we werd wie wordt zal ze zich zij zijn zo
        zonder
    """,
    "ru": """
        а без более бы был была были было быть в вам вас во вот все всё вы где да для до его ее её если
        есть еще ещё же за и из или им их к как ко когда кто ли между мы на над не него нет но о об он
        она они оно от по под при с со так также такой там то того только том тот у уже чем что чтобы
        эта эти это этот я
    """,
}
STOPWORDS = {code: frozenset(words.split()) for code, words in SMALL_WORDS.items()}
STEMMERS = {
    "en": "english",
    "de": "german",
    "fr": "french",
    "es": "spanish",
    "it": "italian",
    "pt": "portuguese",
    "nl": "dutch",
    "ru": "russian",
}
# Scripts that say the language, or near enough, by themselves.
SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u3400-\u9fff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
)
SCRIPT_SHARE = 0.2  # Japanese is half kanji, and technical texts are full of Latin names
WORD = re.compile(r"[^\W\d_]+")


class _Stemmer(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802 - the library's spelling


def guess(text: str) -> str:
    """The language of ``text`` as its two-letter ISO 639-1 code, or ``und``."""
    sample = text[:SAMPLE_CHARS]
    words = [word.casefold() for word in WORD.findall(sample)]
    letters = sum(map(len, words))
    for code, script in SCRIPTS:
        if letters and len(script.findall(sample)) / letters > SCRIPT_SHARE:
            return code
    hits = {code: sum(word in small for word in words) for code, small in STOPWORDS.items()}
    best = max(hits, key=hits.__getitem__)
    return best if words and hits[best] / len(words) >= ENOUGH_SHARE else UNKNOWN


def stopwords(language: str) -> frozenset[str]:
    """The small words of a language; English ones where we have no list."""
    return STOPWORDS.get(language, STOPWORDS["en"])


@lru_cache(maxsize=50_000)
def stem(word: str, language: str) -> str:
    """What "cell" and "cells" have in common. Takes a casefolded word."""
    name = STEMMERS.get(language)
    return _stemmer(name).stemWord(word) if name else word


@lru_cache(maxsize=len(STEMMERS))
def _stemmer(name: str) -> _Stemmer:
    stemmer: _Stemmer = snowballstemmer.stemmer(name)
    return stemmer


def most_common(languages: Iterable[str]) -> str:
    """The language most materials are in; of equals the first."""
    counted = Counter(languages).most_common(1)
    return counted[0][0] if counted else UNKNOWN
