"""The section `beam` refuses options with which a run cannot end well, and is part of no component's cache key."""

from __future__ import annotations

import dataclasses

import pytest

from tests.transform.small_config import small_config
from transform.config import component_configs as scopes
from transform.config.beam import Beam, broken_rule


@pytest.mark.parametrize(
    ("args", "rule"),
    [
        (["runner=FlinkRunner"], "must be options of one text each, `--name=value` or `--name`, unlike "),
        (["--runner", "FlinkRunner"], "must be options of one text each, `--name=value` or `--name`, unlike "),
        (
            ["--runner=FnApiRunner", "--direct_running_mode=multi_threading"],
            "must not run workers as threads (`--direct_running_mode=multi_threading`): a coder ",
        ),
        (["--runner=DaskRunner"], "must not name DaskRunner, which runs the last branch of a pipeline only"),
        (["--runner=dask"], "must not name DaskRunner, which runs the last branch of a pipeline only"),
        (["--runner=apache_beam.runners.dask.dask_runner.DaskRunner"], "must not name DaskRunner, "),
        (["--direct_running_mode=multi_processing"], "must name a `--runner` other than DirectRunner, the default, "),
        (["--runner=DirectRunner", "--direct_running_mode=in_memory"], "must name a `--runner` other than "),
        (["--runner=InteractiveRunner"], "must name a `--runner` other than DirectRunner, the default, "),
        (["--runner=direct"], "must name a `--runner` other than DirectRunner, the default, which starts Prism"),
        (["--runner=SwitchingDirectRunner"], "must name a `--runner` other than DirectRunner, the default, which "),
    ],
)  # fmt: skip
def test_options_that_break_a_rule_are_refused(args: list[str], rule: str) -> None:
    assert (broken_rule(args) or "").startswith(rule)


@pytest.mark.parametrize(
    "args",
    [
        ["--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=4"],
        ["--runner=FlinkRunner", "--flink_master=flink:8081", "--experiments=pre_optimize=all"],
        ["--runner=PrismRunner", "--prism_location=/opt/prism", '--environment_config={"command": "/opt/boot"}'],
        ["--runner=my.own.Runner", "--flag"],
    ],
)
def test_other_options_are_accepted(args: list[str]) -> None:
    assert broken_rule(args) is None
    assert small_config(("beam.args", args)).beam == Beam(args=tuple(args))


def test_no_component_sees_it() -> None:
    config = small_config()
    other = dataclasses.replace(config, beam=Beam(num_workers=4))
    assert scopes.for_push(other) == scopes.for_push(config)  # the others have no section `beam`
    assert other.to_json() != config.to_json()
