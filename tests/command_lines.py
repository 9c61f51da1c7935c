"""Command lines of `wdr`, as documents have them: split into words and checked against the commands."""

from __future__ import annotations

import re
import shlex

import click

from pipeline.cli.main import cli

#: What a shell writes before a command, such as `WDR_SPAN=3`.
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def command_of(line: str) -> list[str]:
    """The words of a line's command, without comments, assignments and the environment's folder."""
    words = shlex.split(line, comments=True)
    while words and _ASSIGNMENT.match(words[0]):
        words.pop(0)
    if words and words[0].endswith("bin/wdr"):
        words[0] = "wdr"
    return words


def resolved(words: list[str]) -> tuple[click.Context, list[str]]:
    """The command that `wdr`'s words name, and what is left of them for it."""
    context, rest = click.Context(cli, info_name="wdr"), words
    while isinstance(context.command, click.Group):
        _, rest, _ = context.command.make_parser(context).parse_args(list(rest))
        if not rest:
            context.fail("a command is missing")
        _, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        context = click.Context(command, parent=context, info_name=command.name)
    return context, rest


def check_call(words: list[str]) -> None:
    """Checks a call of `wdr`: its options exist, those that are required are there, and values have their type.

    Files need not exist.

    Raises:
      click.UsageError: If it breaks a rule.
    """
    context, rest = resolved(words)
    given, extra, _ = context.command.make_parser(context).parse_args(list(rest))
    if extra:
        context.fail(f"too many arguments: {extra}")
    for parameter in context.command.params:
        value = given.get(parameter.name)
        if parameter.required and not isinstance(value, str | list | tuple):
            raise click.MissingParameter(ctx=context, param=parameter)
        if isinstance(value, str) and not isinstance(parameter.type, click.Path | click.File):
            parameter.type.convert(value, parameter, context)
