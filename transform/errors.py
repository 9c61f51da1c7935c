"""Errors whose text is one sentence for a person: what rule, what was received, where, what is allowed."""


class UserError(Exception):
    """Something that the user can mend; the command line prints its text and exits non-zero, without a traceback."""


class ConfigError(UserError, ValueError):
    """A config that breaks a rule."""


class InputError(UserError, ValueError):
    """Data that cannot be read at all: no file, a column missing, a file that ends in the middle of a row."""


class GateError(UserError):
    """A gate stopped the run."""
