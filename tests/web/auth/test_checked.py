"""How many tokens are remembered, and which."""

from __future__ import annotations

from orchestrator.web.auth.caller import Caller
from orchestrator.web.auth.checked import Checked, CheckedTokens


def checked(user: str) -> Checked:
    """A token of that user."""
    return Checked(Caller.of_user(user), {"exp": 1}, "HS256", None, "key")


def test_a_token_is_found_by_all_of_it() -> None:
    """Another one, be it nearly the same, is not known."""
    tokens = CheckedTokens()
    tokens.keep("a.b.c", checked("ada"))

    assert tokens.find("a.b.c") == checked("ada")
    assert tokens.find("a.b.d") is None


def test_of_too_many_the_one_goes_that_was_not_asked_for_longest() -> None:
    """So nobody fills the memory by many sign-ins, and who is busy stays known."""
    tokens = CheckedTokens(most=2)
    tokens.keep("ada", checked("ada"))
    tokens.keep("bob", checked("bob"))
    tokens.find("ada")

    tokens.keep("eve", checked("eve"))

    assert len(tokens) == 2
    assert tokens.find("bob") is None
    assert tokens.find("ada") == checked("ada")
