"""What a code object mentions: names with the attributes it takes of them, in any Python from 3.11 on."""

from __future__ import annotations

import dis
import sys
from dataclasses import dataclass, field
from enum import Enum
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Root(Enum):
    """Where the first name of a mention lives."""

    GLOBAL = "a global or a builtin"
    FREE = "a variable of a function around this one"
    LOCAL = "a variable of this function"
    VALUE = "no name: an attribute of what an expression gave"


@dataclass(slots=True)
class Mention:
    """``a.b.c`` as it stands in the code. ``path`` of a VALUE has the attributes alone."""

    root: Root
    path: list[str]
    line: int
    called: bool = False
    called_without_arguments: bool = False
    begins_at: int = 0
    """The offset of its first instruction."""
    dropped: bool = False
    """It is a statement of its own, ``a.b(…)``, and what it gives goes nowhere."""


@dataclass(frozen=True, slots=True)
class Import:
    """What an import inside a function binds to a name: a module, or an attribute of one.

    ``module`` begins with a dot for each level of a relative import.
    """

    module: str
    attribute: str | None = None


@dataclass(slots=True)
class Reading:
    """Everything that one code object mentions, imports and contains."""

    mentions: list[Mention] = field(default_factory=list)
    imports: dict[str, Import] = field(default_factory=dict)
    nested: list[CodeType] = field(default_factory=list)


def read(code: CodeType) -> Reading:
    """Read ``code``, without the functions that are defined inside it."""
    reader = _Reader()
    instructions = list(dis.get_instructions(code))
    for instruction in instructions:
        reader.take(instruction)
    dropped = _dropped_calls(instructions)
    for mention in reader.reading.mentions:
        mention.dropped = mention.called and mention.begins_at in dropped
    reader.reading.nested += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return reader.reading


def _dropped_calls(instructions: Sequence[dis.Instruction]) -> set[int]:
    """The offsets where calls begin whose result is thrown away at once."""
    return {
        _beginning(instructions[:position])
        for position, instruction in enumerate(instructions)
        if instruction.opname == "POP_TOP" and position and instructions[position - 1].opname in _CALLS
    }


def _beginning(instructions: Sequence[dis.Instruction]) -> int:
    """Where the expression begins with whose value these end: what they leave on the stack is one value."""
    depth = 0
    for instruction in reversed(instructions):
        argument = instruction.arg if instruction.opcode >= dis.HAVE_ARGUMENT else None
        depth += dis.stack_effect(instruction.opcode, argument, jump=False)
        if depth == 1:
            begins_at: int = instruction.offset
            return begins_at
    return _NOWHERE


_NOWHERE = -1
_CALLS = {"CALL", "CALL_KW", "CALL_FUNCTION_EX"}
_ROOTS = {
    "LOAD_GLOBAL": Root.GLOBAL,
    "LOAD_NAME": Root.GLOBAL,
    "LOAD_FROM_DICT_OR_GLOBALS": Root.GLOBAL,
    "LOAD_DEREF": Root.FREE,
    "LOAD_CLASSDEREF": Root.FREE,
    "LOAD_FROM_DICT_OR_DEREF": Root.FREE,
}
# A call is written around its arguments differently in each Python; these say nothing here.
_BETWEEN = {"CACHE", "EXTENDED_ARG", "KW_NAMES", "NOP", "NOT_TAKEN", "PRECALL"}
_PARTS_OF_AN_IMPORT = {"POP_TOP", "SWAP"}
# The lowest bit of a load that leaves a place for `self`: what is loaded is about to be called.
_FOR_A_CALL = 1
_NULL_COMES_FIRST = sys.version_info < (3, 13)
_METHODS_ARE_LOADED_APART = sys.version_info < (3, 12)


class _Reader:
    """Goes through instructions in their order. ``_open`` is the mention that may still grow."""

    def __init__(self) -> None:
        self.reading = Reading()
        self._open: Mention | None = None
        self._call_begins = False
        self._constants: tuple[object, object] = (None, None)
        self._imported = ""
        self._takes_names = False
        self._import: Import | None = None

    def take(self, instruction: dis.Instruction) -> None:
        name = instruction.opname
        if name in _BETWEEN:
            return
        if name == "PUSH_NULL":
            self._push_null()
        elif name in ("LOAD_ATTR", "LOAD_METHOD"):
            self._attribute(instruction)
        elif name == "CALL":
            self._call(instruction.argval)
        elif name.startswith(("LOAD_FAST", "STORE_", "DELETE_")) or name in _ROOTS:
            self._name(instruction)
        else:
            self._other(instruction)

    def _push_null(self) -> None:
        """Python 3.13 writes it behind what is called, older ones before."""
        if _NULL_COMES_FIRST:
            self._open = None
            self._call_begins = True
        elif self._open is not None:
            self._open.called = True

    def _attribute(self, instruction: dis.Instruction) -> None:
        if self._open is None:
            self._begin(Root.VALUE, instruction.argval, instruction)
        else:
            self._open.path.append(instruction.argval)
        if self._open is not None and _is_method(instruction):
            self._open.called = True

    def _call(self, arguments: int) -> None:
        if self._open is not None and self._open.called:
            self._open.called_without_arguments = not arguments
        self._close()

    def _name(self, instruction: dis.Instruction) -> None:
        """A load or a store; newer Pythons do two in one instruction."""
        names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
        actions = [word for word in instruction.opname.split("_") if word in ("LOAD", "STORE", "DELETE")]
        for name, action in zip(names, actions, strict=False):
            if action == "LOAD":
                self._load(name, instruction)
            elif action == "STORE":
                self._store(name)
            else:
                self._close()

    def _load(self, name: str, instruction: dis.Instruction) -> None:
        self._import = None
        self._begin(_ROOTS.get(instruction.opname, Root.LOCAL), name, instruction)
        if instruction.opname == "LOAD_GLOBAL" and (instruction.arg or 0) & _FOR_A_CALL and self._open:
            self._open.called = True

    def _store(self, name: str) -> None:
        self._close()
        if self._import is not None:
            self.reading.imports[name] = self._import

    def _other(self, instruction: dis.Instruction) -> None:
        self._close()
        name, value = instruction.opname, instruction.argval
        if name == "IMPORT_NAME":
            self._begin_import(value)
        elif name == "IMPORT_FROM":
            # `import a.b as c` is written with it too.
            self._import = Import(self._imported, value if self._takes_names else None)
        elif name not in _PARTS_OF_AN_IMPORT:
            self._import = None
        if name.startswith("LOAD_"):
            self._constants = (self._constants[1], value)

    def _begin_import(self, module: str) -> None:
        level, names = self._constants
        self._imported = "." * level + module if isinstance(level, int) else module
        self._takes_names = bool(names)
        # `import a.b` binds `a` alone.
        self._import = Import(self._imported if names else module.partition(".")[0])

    def _begin(self, root: Root, name: str, instruction: dis.Instruction) -> None:
        line = instruction.positions.lineno if instruction.positions else None
        self._open = Mention(root, [name], line or 0, called=self._call_begins, begins_at=instruction.offset)
        self._call_begins = False
        self.reading.mentions.append(self._open)

    def _close(self) -> None:
        self._open = None
        self._call_begins = False


def _is_method(instruction: dis.Instruction) -> bool:
    if _METHODS_ARE_LOADED_APART:
        return instruction.opname == "LOAD_METHOD"
    return bool((instruction.arg or 0) & _FOR_A_CALL)
