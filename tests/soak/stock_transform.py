"""Compares Transform's executor with TFX's, bit by bit, for every config of the project: two days each.

    python -m tests.soak.stock_transform [--rows 300]

Exits with code 1 if a vocabulary, a boundary or a transformed row differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.components.transform_executor.same_as_stock import ROOT, check_two_days
from transform.config.config_file import load_config

FOLDERS = ("configs", "configs/examples", "tests/e2e")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300, help="of each day, for training")
    arguments = parser.parse_args()
    console, failed = Console(), False
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.yaml")):
        with tempfile.TemporaryDirectory() as folder:
            try:
                check_two_days(load_config(path), Path(folder), arguments.rows)
            except AssertionError as error:
                failed = True
                console.print(f"{path.relative_to(ROOT)}: differs: {error}", markup=False)
            else:
                console.print(f"{path.relative_to(ROOT)}: the same", markup=False)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
