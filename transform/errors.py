"""Errors whose message is one sentence for a user: the rule, the value received, where, and what is allowed."""

from __future__ import annotations


class UserError(Exception):
    """An error that the user can fix; the command line prints its message and exits non-zero, without a traceback."""


class ConfigError(UserError, ValueError):
    """A config that breaks a rule."""


class InputError(UserError, ValueError):
    """Data that cannot be read at all: no file, a column missing, a file that ends in the middle of a row."""


class UnreadableError(UserError):
    """A file cannot be read now, such as while its disk is away; a later try may succeed.

    It is no `InputError`: it says nothing about the data, so that no span is skipped or found unfit for it.
    """

    @classmethod
    def of(cls, path: str, error: OSError) -> UnreadableError:
        """Returns the error of a file that exists, or whose existence is unknown."""
        reason = " ".join((error.strerror or str(error)).split())
        return cls(
            f"the file cannot be read now: {reason}; once it can be, run the same command again to continue ({path})"
        )


class NoRoomError(UserError):
    """A disk has less room than a component needs; with more room, the same command succeeds."""


class UnusableLogsError(InputError):
    """A span's logs are missing, or their files lack what the config reads."""


class GateError(UserError):
    """A gate stopped the run."""
