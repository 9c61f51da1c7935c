"""The canaries: what the project relies on in other packages is there, and a canary sees when it is not."""

from __future__ import annotations

import pytest

from tests.canaries.moves import MOVES, Move
from tests.canaries.table import CHECKS, PRIVATE_USES, TITLES


def run(name: str) -> None:
    """Runs a canary; its failure names the places to look at."""
    try:
        CHECKS[name]()
    except (Exception, pytest.fail.Exception) as error:  # the latter is what `pytest.raises` raises
        uses = [use for use in PRIVATE_USES if use.check.__name__ == name]
        what = "; ".join(f"{use.upstream} of {TITLES[use.package]} (relied on as of {use.version})" for use in uses)
        places = ", ".join(sorted({place for use in uses for place in use.places}))
        raise AssertionError(f"{what} has moved; look at {places}. {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_it_is_as_the_project_relies_on_it(name: str) -> None:
    run(name)


@pytest.mark.parametrize(
    ("name", "move"),
    [
        pytest.param(name, move, id=f"{name}-{number}")
        for name in sorted(MOVES)
        for number, move in enumerate(MOVES[name])
    ],
)
def test_a_faked_move_is_seen(name: str, move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    move(monkeypatch)
    with pytest.raises(AssertionError, match="has moved; look at ") as found:
        run(name)
    monkeypatch.undo()
    places = {place for use in PRIVATE_USES if use.check.__name__ == name for place in use.places}
    assert [place for place in places if place not in str(found.value)] == []


def test_every_canary_has_a_faked_move() -> None:
    assert sorted(MOVES) == sorted(CHECKS)
