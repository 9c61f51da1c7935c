"""Writes the documentation's page of private uses: `python -m tests.canaries --write`."""

from __future__ import annotations

import argparse

from tests.canaries.scan import ROOT
from tests.canaries.table import page

PAGE = ROOT / "docs" / "reference" / "private_uses.md"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help="write the page")
    parser.parse_args()
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
