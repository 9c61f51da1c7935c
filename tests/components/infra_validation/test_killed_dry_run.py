"""Real processes of dry runs that are killed: a killed one is tried again twice, then the node fails."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tfx.types import standard_artifacts

from components.artifacts import MAY_CHANGE
from components.infra_validation.attempts import KilledDryRunError
from components.infra_validation.driver import InfraValidatorDriver
from tests.components.infra_validation.killer import killing_dry_runs
from tests.components.infra_validation.validating import examples_artifact, validate
from tests.components.mlmd_lineage import Lineage
from tests.components.saved_models import example, export, write_good_scores
from transform.config.infra_validation import InfraValidation

SETTINGS = InfraValidation(num_requests=5, num_measurements=10, max_latency_ms=None)


@pytest.fixture
def good(tmp_path: Path) -> tuple[Path, list[Any]]:
    model = export("good", tmp_path / "model")
    write_good_scores(model, range(8))
    return model, [examples_artifact(tmp_path / "examples", train=[], eval=[example(x) for x in range(8)])]


def test_a_dry_run_killed_three_times_fails_the_node_without_a_verdict(
    good: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    model, window = good
    with killing_dry_runs(3) as killed, pytest.raises(KilledDryRunError, match="3 tries in a row") as caught:
        validate(SETTINGS, model, window, tmp_path / "out")
    assert len(killed) == 3
    assert "its process was killed by SIGKILL, as happens when memory runs out" in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_a_dry_run_killed_twice_is_blessed_by_the_third_try(good: tuple[Path, list[Any]], tmp_path: Path) -> None:
    model, window = good
    with killing_dry_runs(2) as killed:
        verdict = validate(SETTINGS, model, window, tmp_path / "out")
    assert len(killed) == 2
    assert (verdict["blessed"], verdict["problems"], verdict["may_change"]) == (1, [], False)
    assert ["SIGKILL" in sentence for sentence in verdict["tries"]] == [True, True]


def test_only_a_refusal_that_may_change_changes_the_cache_key(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path)
    model, other = lineage.put(standard_artifacts.Model), lineage.put(standard_artifacts.Model)

    class Handle:
        store = lineage.store

        def __enter__(self) -> Handle:
            return self

        def __exit__(self, *_: object) -> None: ...

    def key() -> dict[str, int]:
        info: Any = SimpleNamespace(input_dict={"model": [model]})
        properties = InfraValidatorDriver(Handle()).run(info).exec_properties
        return {name: value.int_value for name, value in properties.items()}

    assert key() == {}
    lineage.put(standard_artifacts.InfraBlessing, model, blessed=0)
    lineage.put(standard_artifacts.InfraBlessing, other, **{MAY_CHANGE: 1})
    assert key() == {}
    refusal = lineage.put(standard_artifacts.InfraBlessing, model, blessed=0, **{MAY_CHANGE: 1})
    assert key() == {"refusals_that_may_change": 1}
    lineage.execute((model,), refusal.id)  # as if it had come from the cache
    assert key() == {"refusals_that_may_change": 1}
    lineage.put(standard_artifacts.InfraBlessing, model, blessed=0, **{MAY_CHANGE: 1})
    assert key() == {"refusals_that_may_change": 2}
