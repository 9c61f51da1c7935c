"""The config's section `beam`: where Beam runs the nodes that read rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from transform.feature import STRICT

Option = Annotated[str, Field(max_length=10_000)]

Address = Annotated[str, Field(max_length=300)]

_OPTION = re.compile(r"--[A-Za-z][\w-]*(=.*)?", re.DOTALL)

#: A host's name, its IPv4 address, or its IPv6 address in brackets; and a port.
_ADDRESS = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", re.ASCII)
_MAX_PORT = 65_535

#: Runners, by their names without `runner` and in lower case, that start Prism: Beam 2.77 tries it first and without
#: a word, whatever `--direct_running_mode` says, and downloads its program. `direct` is also the default, also
#: of what `interactive` runs.
_STARTING_PRISM = ("direct", "switchingdirect", "testdirect", "interactive")

#: Runners, by names of the same form, that are in the process itself unless `--direct_running_mode` says otherwise.
_IN_PROCESS = ("fnapi", "bundlebaseddirect")


@dataclass(frozen=True, config=STRICT)
class Beam:
    """Where Beam runs the nodes that read all rows.

    These are `example_gen`, `statistics_gen`, `late_labels`, `transform`, `evaluator` and `progressive_validation`.

    It changes no result: a node that is done is taken from the cache, whatever stands here by then.

    Attributes:
      num_workers: Processes of this machine. With 1, the node's own process does the work.
      workers: In place of `num_workers`: the addresses of pools of workers, `HOST:PORT` each, on this machine or on
        others. Each pool starts one worker for a node, and the work is divided evenly among them.
      args: In place of both: the options of Beam's pipelines, one text each, with a `--runner`, as for a cluster. `wdr
        run --beam-arg` replaces them all.
    """

    num_workers: Annotated[int, Field(ge=1, le=256)] = 1
    workers: Annotated[tuple[Address, ...], Field(max_length=256)] = ()
    args: Annotated[tuple[Option, ...], Field(max_length=200)] = ()

    @field_validator("workers")
    @classmethod
    def _distinct_addresses(cls, workers: tuple[str, ...]) -> tuple[str, ...]:
        for address in workers:
            port = _ADDRESS.fullmatch(address)
            if port is None or not 1 <= int(port[1]) <= _MAX_PORT:
                raise ValueError(f"must be `HOST:PORT` each, with a port of 1 to {_MAX_PORT}, unlike {address!r}")
        if len(set(workers)) < len(workers):
            raise ValueError("must have each address once: a pool starts one worker for a node")
        return workers

    @field_validator("args")
    @classmethod
    def _can_run(cls, args: tuple[str, ...]) -> tuple[str, ...]:
        if args and (rule := broken_rule(args)) is not None:
            raise ValueError(rule)
        return args

    @model_validator(mode="after")
    def _one_way(self) -> Beam:
        if self.workers and (self.args or self.num_workers != 1):
            raise ValueError(
                "`beam.workers` goes without `beam.num_workers` and `beam.args`: each of its pools starts one worker. "
                f"Received: {list(self.workers)}, {self.num_workers} and {list(self.args)}"
            )
        if self.args and self.num_workers != 1:
            raise ValueError(
                "`beam.num_workers` goes without `beam.args`, which name a runner and its workers. Received: "
                f"{self.num_workers} and {list(self.args)}"
            )
        return self


def broken_rule(args: Sequence[str]) -> str | None:
    """Returns the rule that options of a Beam pipeline break, as `must …`; None if they keep all.

    It does not check that Beam has these options: `pipeline.beam_options` does.
    """
    if wrong := [arg for arg in args if not _OPTION.fullmatch(arg)]:
        return f"must be options of one text each, `--name=value` or `--name`, unlike {wrong[0]!r}"
    if "multi_threading" in values_of(args, "direct_running_mode"):
        return (
            "must not run workers as threads (`--direct_running_mode=multi_threading`): a coder that they share breaks,"
            " and memory grew to 20 GB; `multi_processing` runs them as processes"
        )
    runners = values_of(args, "runner")
    if "dask" in map(short_name, runners):
        return "must not name DaskRunner, which runs the last branch of a pipeline only, so that outputs are missing"
    if not runners or any(short_name(runner) in _STARTING_PRISM for runner in runners):
        return (
            "must name a `--runner` other than DirectRunner, the default, which starts Prism and downloads it; on this "
            "machine `--runner=FnApiRunner` runs"
        )
    return None


def has_workers(args: Sequence[str]) -> bool:
    """Returns whether options of a Beam pipeline name workers besides the process that runs it."""
    runners, modes = values_of(args, "runner"), values_of(args, "direct_running_mode")
    is_of_another = bool(runners) and short_name(runners[-1]) not in (*_IN_PROCESS, *_STARTING_PRISM)
    return is_of_another or modes[-1:] == ["multi_processing"]


def values_of(args: Sequence[str], option: str) -> list[str]:
    """Returns the values given to an option; of several, Beam takes the last."""
    prefix = f"--{option}="
    return [arg.removeprefix(prefix) for arg in args if arg.startswith(prefix)]


def short_name(runner: str) -> str:
    """Returns a runner's name as Beam compares names: without its module and `Runner`, in lower case."""
    return runner.rpartition(".")[2].lower().removesuffix("runner")
