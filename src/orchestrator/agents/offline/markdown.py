"""Writing Markdown that shows other people's words as they are, whatever signs they hold."""

from __future__ import annotations

import re

ACTIVE = re.compile(r"[\\`*\[\]<|]|~(?=~)|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
BLOCK_START = re.compile(r"^(\s*)(>|#{1,6}(?=\s)|[-+](?=\s)|\d{1,9}(?=[.)]\s)|[-=]{2,}$)")
FENCES = re.compile(r"`{3,}")


def escaped(text: str) -> str:
    """``text`` so that Markdown shows it and does nothing with it."""
    shown = ACTIVE.sub(lambda sign: "\\" + sign.group(), " ".join(text.split()))
    start = BLOCK_START.match(shown)
    if start is None:
        return shown
    mark = start.group(2)
    return f"{mark}\\{shown[len(mark) :]}" if mark.isdigit() else f"\\{shown}"


def fenced(code: str, language: str) -> str:
    """``code`` as a block whose fence is longer than any inside."""
    longest = max((len(found) for found in FENCES.findall(code)), default=2)
    fence = "`" * max(3, longest + 1)
    name = re.sub(r"[^\w+#.-]", "", language.split(" ", maxsplit=1)[0])
    return f"{fence}{name}\n{code}\n{fence}"


def bulleted(lines: list[str]) -> str:
    """A list with one point per line."""
    return "\n".join(f"- {line}" for line in lines)


def sentence_case(text: str) -> str:
    """``text`` with its first letter large."""
    return text[:1].upper() + text[1:]
