"""How help looks: paragraphs that fill the terminal's lines, and words where typer has its own signs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from typer.core import TyperCommand, TyperGroup, TyperOption

if TYPE_CHECKING:
    from typer._click.core import Command as AnyCommand
    from typer._click.core import Context

BREAK_IN_PARAGRAPH = re.compile(r"(?<!\n)\n(?!\n)")


class Command(TyperCommand):
    """A command whose help reads like text."""

    def get_help(self, ctx: Context) -> str:
        """The help, after what typer shows otherwise was put in order."""
        _in_order(self)
        return super().get_help(ctx)

    def get_help_option(self, ctx: Context) -> TyperOption | None:
        """``--help``, without a type."""
        return _untyped(super().get_help_option(ctx))

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        """``ID`` instead of ``{ID}`` for what must be given."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


class Group(TyperGroup):
    """A group of such commands."""

    def get_help(self, ctx: Context) -> str:
        """As for a command."""
        _in_order(self)
        return super().get_help(ctx)

    def get_help_option(self, ctx: Context) -> TyperOption | None:
        """As for a command."""
        return _untyped(super().get_help_option(ctx))


def _in_order(command: AnyCommand) -> None:
    """Join the lines of each paragraph, and let a flag say no type."""
    command.help = BREAK_IN_PARAGRAPH.sub(" ", command.help or "")
    for parameter in command.params:
        if isinstance(parameter, TyperOption):
            _untyped(parameter)


def _untyped(option: TyperOption | None) -> TyperOption | None:
    if option is not None and option.is_flag:
        option.metavar = ""
    return option
