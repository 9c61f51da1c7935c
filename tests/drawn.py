"""How many examples the tests by Hypothesis draw: with slow tests left out, as in `make test`, a third."""

from __future__ import annotations

#: The share of the examples that are drawn; tests/conftest.py sets it before tests are imported.
share = 1.0


def so_many(examples: int) -> int:
    return max(1, round(examples * share))
