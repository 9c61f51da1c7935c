"""The markers of a page between which its written part stands."""

from __future__ import annotations

BEGIN = "<!-- What follows is written by `python -m tests.reference_pages --write`. -->"
END = "<!-- The written part ends here. -->"


def rewritten(page: str, text: str) -> str:
    """Returns the page with `text` as its written part; raises ValueError unless it has each marker exactly once."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"a page must have each marker once: {BEGIN!r}, then {END!r}")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}"
