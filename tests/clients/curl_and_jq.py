"""As much of curl and jq as document 000 and our pages use: `python curl_and_jq.py curl …`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen


def curl(arguments: list[str]) -> None:
    """``[-s] [-X METHOD] [-H 'Name: value']… [-d BODY] URL``; prints the body."""
    method, url, body, headers = "GET", "", None, {}
    rest = iter(arguments)
    for argument in rest:
        if argument == "-X":
            method = next(rest)
        elif argument == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif argument == "-d":
            body = next(rest).encode()
        elif argument != "-s":
            url = argument
    with urlopen(Request(url, body, headers, method=method)) as answer:  # noqa: S310  # the test's own service
        sys.stdout.buffer.write(answer.read())


def jq(arguments: list[str]) -> None:
    """``[-r] [.name] [FILE]``, of JSON in the file or on standard input."""
    raw = "-r" in arguments
    path, file = ([argument for argument in arguments if argument != "-r"] + [".", ""])[:2]
    found = json.loads(Path(file).read_text() if file not in {"", "."} else sys.stdin.read())
    if path != ".":
        found = found[path.removeprefix(".")]
    sys.stdout.write((found if raw and isinstance(found, str) else json.dumps(found, indent=2)) + "\n")


if __name__ == "__main__":
    {"curl": curl, "jq": jq}[sys.argv[1]](sys.argv[2:])
