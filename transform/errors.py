"""Errors whose message is one sentence for a user: the rule, the value received, where, and what is allowed."""


class UserError(Exception):
    """An error that the user can fix; the command line prints its message and exits non-zero, without a traceback."""


class ConfigError(UserError, ValueError):
    """A config that breaks a rule."""


class InputError(UserError, ValueError):
    """Data that cannot be read at all: no file, a column missing, a file that ends in the middle of a row."""


class UnusableLogsError(InputError):
    """A span's logs are missing, or their files lack what the config reads."""


class GateError(UserError):
    """A gate stopped the run."""
