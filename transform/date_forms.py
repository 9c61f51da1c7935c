"""Forms of dates in the directives of strptime, such as `%b %d, %Y`, as regular expressions of RE2 and Python alike."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

#: By place, the names of months, whatever the machine's language: `%B`, and as their first three letters `%b`.
FULL_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
MONTHS = tuple(name[:3] for name in FULL_MONTHS)

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

#: An offset from UTC, at the end of a text that has a time of day.
OFFSET = r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"

ANY_YEAR = "[1-9][0-9]{3}"
LEAP_YEAR = "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:1[26]|[2468][048]|[3579][26])00)"

#: The years of an instant, for which a zone's offsets are known: from 1900 to 2099.
KNOWN_YEAR = "(?:19|20)[0-9]{2}"
KNOWN_LEAP_YEAR = "(?:(?:19|20)(?:0[48]|[2468][048]|[13579][26])|2000)"

#: Of two digits, the years from 1969 to 2068, of which each fourth is a leap year.
_SHORT_YEAR, _SHORT_LEAP_YEAR = "[0-9]{2}", "(?:[02468][048]|[13579][26])"

#: By directive, the texts of a number, with a leading zero or without; beside another number it has two digits.
_CLOCKS = {"H": "[01]?[0-9]|2[0-3]", "I": "0?[1-9]|1[0-2]", "M": "[0-5]?[0-9]", "S": "[0-5]?[0-9]"}

#: As strptime: unlike `OFFSET`, it has minutes.
_OFFSET = r"(?:Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])"

#: By directive, what a part of a text that has the form looks like, if it is not a number of one or two digits or a
#: name of three letters.
_ANY_TEXTS = {"Y": "[0-9]{4}", "f": "[0-9]{1,6}", "B": "[A-Za-z]+", "p": "[A-Za-z]{2}", "z": _OFFSET}

#: By directive, another one in place of it; a form has one of each line, and the first three it must have.
_OF_ONE = {"y": "Y", "b": "m", "B": "m", "I": "H"}
_NEEDED = ("Y", "m", "d")
_NUMBERS = frozenset("YymdHIMSf")
_DIRECTIVES = frozenset("YymbBdHIMSfpza")

_EXAMPLES = {
    "Y": "1970", "y": "70", "m": "01", "b": "Jan", "B": "January", "d": "01", "H": "00", "I": "12", "M": "00",
    "S": "00", "f": "0", "p": "AM", "z": "Z", "a": "Thu",
}  # fmt: skip


class DateForm(NamedTuple):
    """A form of texts that are a date, or a date and a time of day, with English names in capital or small letters.

    Attributes:
      form: Its directives and the characters between them; `why_no_date_form` checks them.
    """

    form: str

    @property
    def directives(self) -> list[str]:
        """Its directives, without the percent sign, in order."""
        return [piece[1:] for piece in _pieces(self.form) if piece.startswith("%")]

    @property
    def has_clock(self) -> bool:
        """Whether the texts have a time of day."""
        return not {"H", "I"}.isdisjoint(self.directives)

    @property
    def is_instant(self) -> bool:
        """Whether the texts are times in UTC or with an offset from it, and not local ones."""
        return "z" in self.directives or self.form.endswith((" UTC", " GMT"))

    @property
    def example(self) -> str:
        """The text of 1970-01-01T00:00."""
        return re.sub("%(.)", lambda found: _EXAMPLES[found[1]], self.form)

    @property
    def pattern(self) -> str:
        """A regular expression of the texts, without anchors; a date that does not exist, such as Feb 30, is none."""
        return _pattern(self.form)

    def part_pattern(self, directive: str) -> str:
        """A regular expression of the texts with one group, that of a directive."""

        def of(piece: str, _: bool) -> str:
            if not piece.startswith("%"):
                return _literal(piece)
            text = _ANY_TEXTS.get(piece[1:], "[0-9]{1,2}" if piece[1:] in _NUMBERS else "[A-Za-z]{3}")
            return f"({text})" if piece[1:] == directive else text

        return f"^{_joined(self.form, of)}$"


def why_no_date_form(form: str) -> str:
    """Returns why a text is no form of dates, as the end of a sentence; an empty text if it is one."""
    pieces = _pieces(form)
    found = [piece[1:] for piece in pieces if piece.startswith("%")]
    if unknown := [directive for directive in found if directive not in _DIRECTIVES]:
        return f"%{unknown[0]} is none of its directives, {', '.join(f'%{name}' for name in sorted(_DIRECTIVES))}"
    of_one = [_OF_ONE.get(directive, directive) for directive in found]
    if twice := [name for name in of_one if of_one.count(name) > 1]:
        return f"it has two directives for %{twice[0]}"
    if any(name not in of_one for name in _NEEDED):
        return "it needs a year (%Y or %y), a month (%m, %b or %B) and a day (%d)"
    if ("I" in found) != ("p" in found):
        return "%I and %p go together"
    if any(clock in of_one for clock in "MSfz") and "H" not in of_one:
        return "a minute, a second and an offset go with an hour, %H"
    literals = "".join(piece for piece in pieces if not piece.startswith("%"))
    if not literals.isascii() or not literals.isprintable() or re.search("[0-9]", literals):
        return "between its directives it has printable ASCII characters other than digits only"
    return ""


def existing_dates(
    order: Callable[..., str], year: str, leap_year: str, months: Sequence[str], *, zero: str = "0"
) -> str:
    """Returns a pattern of the dates that exist.

    Args:
      order: Returns the pattern of a date for the patterns `year`, `month` and `day`.
      year: The pattern of a year.
      leap_year: That of a leap year.
      months: That of each month.
      zero: That of the zero before a day of one digit.
    """

    def of(numbers: Sequence[int], days: str, years: str = year) -> str:
        some = "|".join(months[number - 1] for number in numbers)
        return order(year=years, month=f"(?:{some})", day=f"(?:{days})")

    return "|".join(
        [
            of([1, 3, 5, 7, 8, 10, 12], f"{zero}[1-9]|[12][0-9]|3[01]"),
            of([4, 6, 9, 11], f"{zero}[1-9]|[12][0-9]|30"),
            of([2], f"{zero}[1-9]|1[0-9]|2[0-8]"),
            of([2], "29", leap_year),
        ]
    )


@functools.cache
def _pattern(form: str) -> str:
    date_form = DateForm(form)
    directives = date_form.directives
    years = (KNOWN_YEAR, KNOWN_LEAP_YEAR) if date_form.is_instant else (ANY_YEAR, LEAP_YEAR)
    year, leap_year = (_SHORT_YEAR, _SHORT_LEAP_YEAR) if "y" in directives else years
    beside = {piece for piece, is_beside in _with_neighbours(form) if is_beside}
    names = FULL_MONTHS if "B" in directives else MONTHS
    if "m" in directives:
        zero = "0" if "%m" in beside else "0?"
        months = [f"{zero}{number}" if number < 10 else str(number) for number in range(1, 13)]
    else:
        months = list(map(_any_case, names))

    def order(**of_date: str) -> str:
        def of(piece: str, is_beside: bool) -> str:
            match piece:
                case "%Y" | "%y":
                    return of_date["year"]
                case "%m" | "%b" | "%B":
                    return of_date["month"]
                case "%d":
                    return of_date["day"]
                case "%H" | "%I" | "%M" | "%S":
                    text = _CLOCKS[piece[1:]]
                    return f"(?:{text.replace('?', '') if is_beside else text})"
                case "%f":
                    return "[0-9]{6}" if is_beside else "[0-9]{1,6}"
                case "%p":
                    return "[AaPp][Mm]"
                case "%a":
                    return f"(?:{'|'.join(map(_any_case, _WEEKDAYS))})"
                case "%z":
                    return _OFFSET
            return _literal(piece)

        return _joined(form, of)

    return existing_dates(order, year, leap_year, months, zero="0" if "%d" in beside else "0?")


def _pieces(form: str) -> list[str]:
    """Returns directives and the texts between them."""
    return re.findall("%.?|[^%]+", form, re.DOTALL)


def _with_neighbours(form: str) -> list[tuple[str, bool]]:
    """Returns the pieces, and whether each is a number right beside another one."""
    pieces = _pieces(form)
    are_numbers = [piece.startswith("%") and piece[1:] in _NUMBERS for piece in pieces]
    around = [False, *are_numbers, False]
    return [(piece, around[at + 1] and (around[at] or around[at + 2])) for at, piece in enumerate(pieces)]


def _joined(form: str, of: Callable[[str, bool], str]) -> str:
    return "".join(of(piece, is_beside) for piece, is_beside in _with_neighbours(form))


def _literal(text: str) -> str:
    return re.sub(r"(?:\\ )+", " +", re.escape(text))


def _any_case(name: str) -> str:
    return "".join(f"[{letter.upper()}{letter.lower()}]" for letter in name)
