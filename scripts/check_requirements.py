"""Hold the lock files against what asks for them: pins that fit, hashed, and no download host recorded.

Works offline. What it finds is mended by ``make lock``.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^(?P<name>[\w.-]+)(?:\[.*\])?==(?P<version>\S+)(?P<rest>.*)$", re.MULTILINE)
HOST = re.compile(r"://|^\s*--(?:index|extra-index|find-links)|\"resolved\"", re.MULTILINE)


def main() -> int:
    """Print every complaint; 1 when there is one."""
    complaints = [*unmet(), *hosts()]
    for complaint in complaints:
        print(complaint)
    if complaints:
        print("Run `make lock`, and commit what it changes.")
    return bool(complaints)


def unmet() -> Iterator[str]:
    """What pyproject.toml asks for and a requirements file does not pin, or pins otherwise."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for name, wanted in requirements(pyproject).items():
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        pins = {canonicalize_name(pin["name"]): pin for pin in PIN.finditer(text)}
        for requirement in map(Requirement, wanted):
            pin = pins.get(canonicalize_name(requirement.name))
            if pin is None or not requirement.specifier.contains(pin["version"], prereleases=True):
                yield f"requirements/{name}.txt does not meet {requirement}."
        for pin in pins.values():
            if not text[pin.end() :].lstrip().startswith("--hash="):
                yield f"requirements/{name}.txt pins {pin['name']} without a hash."


def requirements(pyproject: dict[str, Any]) -> dict[str, list[str]]:
    """What each requirements file must meet: the project's own needs and one group's."""
    project, groups = pyproject["project"], pyproject["dependency-groups"]
    runtime = project["dependencies"]
    optional = [each for extra in project["optional-dependencies"].values() for each in extra]
    return {
        "setup": groups["setup"],
        "runtime": runtime,
        "service": runtime + optional,
        "dev": runtime + optional + groups["dev"],
        "docs": groups["docs"],
        "bench": groups["bench"],
    }


def hosts() -> Iterator[str]:
    """Lines of lock files that say where a package was downloaded from."""
    files = [*ROOT.glob("requirements/*.txt"), *ROOT.glob("tests/clients/package-lock.json")]
    for file in [*files, *ROOT.glob("benchmarks/package-lock.json")]:
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            if HOST.search(line):
                yield f"{file.relative_to(ROOT)}:{number} names a download host: {line.strip()}"


if __name__ == "__main__":
    sys.exit(main())
