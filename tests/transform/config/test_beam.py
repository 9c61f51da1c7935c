"""The section `beam` refuses options with which a run cannot end well, and is part of no component's cache key."""

from __future__ import annotations

import dataclasses

import pytest

from tests.transform.small_config import small_config
from transform.config import component_configs as scopes
from transform.config.beam import Beam, broken_rule, has_workers
from transform.config.config import Config
from transform.errors import ConfigError


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


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], False),
        (["--runner=FnApiRunner", "--direct_running_mode=in_memory"], False),
        (["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner", "--direct_num_workers=4"], False),
        (["--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2"], True),
        (["--runner=FlinkRunner", "--flink_master=flink:8081"], True),
        (["--runner=PrismRunner"], True),
    ],
)
def test_which_options_name_workers(args: list[str], expected: bool) -> None:
    assert has_workers(args) is expected


@pytest.mark.parametrize(
    "address",
    ["127.0.0.2:1", "localhost:50000", "beam-a.store.svc.cluster.local:65535", "my_host:8", "[fd00::7]:50000"],
)
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    assert small_config(("beam.workers", [address, "z:1"])).beam == Beam(workers=(address, "z:1"))


@pytest.mark.parametrize(
    "address",
    ["", "host", "host:", ":50000", "host:0", "host:65536", "host:5O000", "host:-1", "a b:1", "http://host:1", "a,b:1",
     "-host:1", "::1:50000", "[host]:1", "user@host:1", "host:1\n", "host:٣"],
)  # fmt: skip
def test_no_address(address: str) -> None:
    with pytest.raises(ConfigError) as raised:
        small_config(("beam.workers", ["z:1", address]))
    rule = f"`workers` must be `HOST:PORT` each, with a port of 1 to 65535, unlike {address!r}. "
    assert str(raised.value).startswith(rule)


def test_the_number_of_pools_is_bounded() -> None:
    addresses = [f"beam-{number}:50000" for number in range(257)]
    assert len(small_config(("beam.workers", addresses[:256])).beam.workers) == 256
    with pytest.raises(ConfigError, match="at most 256 items"):
        small_config(("beam.workers", addresses))


@pytest.mark.parametrize("beam", [Beam(num_workers=4), Beam(workers=("a:1", "b:1"))])
def test_no_component_sees_it(beam: Beam) -> None:
    config = small_config()
    other = dataclasses.replace(config, beam=beam)
    assert scopes.for_push(other) == scopes.for_push(config)  # the others have no section `beam`
    assert other.to_json() != config.to_json()
    assert Config.from_json(other.to_json()) == other  # as a compiled pipeline has it
