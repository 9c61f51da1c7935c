"""`wdr try` on the small store."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e import store
from tests.e2e.bad_store import in_process, ok_in_process

pytestmark = pytest.mark.slow


def variant(path: Path, old: str, new: str) -> Path:
    """Writes the small store's config with another text in place of one."""
    text = store.CONFIG.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def rows_of(printed: str) -> dict[str, list[str]]:
    """The cells of the table's rows, by config."""
    lines = printed.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("config "))
    return {line.split()[0]: re.split(r"\s{2,}", line)[1:] for line in lines[start + 1 :]}


def test_configs_are_compared_on_the_same_rows(data: Path, tmp_path: Path) -> None:
    """The copy of the config gives the same model; the one with a smaller model shares the transformed rows."""
    same = variant(tmp_path / "same.yaml", "name: small_store", "name: another_store")
    smaller = variant(tmp_path / "smaller.yaml", "embedding_dim: 4", "embedding_dim: 2")
    arguments = ("try", store.CONFIG, same, smaller, "--data", data, "--rows", "2000")
    done = in_process(*arguments)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{same}: no difference beyond chance (against {store.CONFIG})"
    counts = re.fullmatch(r"([\d,]+) training rows, ([\d,]+) evaluation rows; changes with 95 % intervals", lines[2])
    assert counts is not None
    num_train, num_eval = (int(count.replace(",", "")) for count in counts.groups())
    assert 1700 < num_train + num_eval <= 2002  # training leaves out rows that can share a label
    found = rows_of(done.stdout)
    assert list(found) == [str(store.CONFIG), str(same), str(smaller)]
    reference, copy, other = found.values()
    assert [copy[at] for at in (0, 2, 4)] == reference[:3]
    assert {copy[at] for at in (1, 3, 5)} == {"+0.0000 ± 0.0000"}
    assert "+0.0000 ± 0.0000" not in other
    ended = re.findall(r"✓ (\w+): (taken from the cache)?", done.stderr)
    nodes = ["ImportSchemaGen", "ImpressionExampleGen", "sample", "transform"]
    assert sorted(node for node, cached in ended if cached) == sorted(2 * nodes)


def test_trainings_start_from_a_pushed_version(first_day: tuple[Path, str], data: Path, tmp_path: Path) -> None:
    version = first_day[0] / "serving" / store.NAME / "1"
    rate = "deep_optimizer: {learning_rate: "
    slow = variant(tmp_path / "slow.yaml", f"{rate}0.05", f"{rate}0.0001")
    arguments = ("try", slow, "--against", store.CONFIG, "--data", data, "--span", "2")
    cold = rows_of(ok_in_process(*arguments))
    warm = rows_of(ok_in_process(*arguments, "--base", version))
    assert list(cold) == list(warm) == [str(store.CONFIG), str(slow)]
    assert float(warm[str(slow)][2]) < float(cold[str(slow)][2])  # the log loss: a cold start needs larger steps
