"""Whose code it is: the user's own is looked into, Python's and that of installed packages is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType

_STANDARD_LIBRARY = str(Path(os.__file__).parent) + os.sep
_INSTALLED = tuple(f"{os.sep}{folder}{os.sep}" for folder in ("site-packages", "dist-packages"))
# The engine answers for itself.
_ENGINE = str(Path(__file__).parents[1]) + os.sep


def is_own(code: CodeType, module: str, package: str) -> bool:
    """Whether code belongs to whoever wrote the workflow.

    Args:
        code: of the function in question.
        module: in which it is defined.
        package: the top-level package of the workflow, which may itself be installed.
    """
    file = code.co_filename
    if file.startswith((_ENGINE, "<frozen")):
        return False
    if module.partition(".")[0] == package:
        return True
    return not file.startswith(_STANDARD_LIBRARY) and not any(folder in file for folder in _INSTALLED)
