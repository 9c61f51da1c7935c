"""The compiled pipeline: a folder that `wdr compile` writes once and a scheduler runs, node by node.

It names no folder of a machine and no database: these are supplied where a node runs (`pipeline/runner/run_node.py`),
so that the same compiled pipeline runs on a laptop, on a scheduler's machine and in a cluster.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from pydantic import TypeAdapter
from tfx.dsl.compiler.constants import PIPELINE_RUN_ID_PARAMETER_NAME
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from components import storage
from components.fingerprint import fingerprint_of_all_code
from components.ingestion.spans import SPAN_TOKENS
from pipeline.compile.ir import compile_ir
from pipeline.create import RunSettings, create_pipeline
from pipeline.workspace import Workspace
from transform.config.config import Config
from transform.config.schedule import SUCCESS_MARKER, Pod, Schedule
from transform.errors import InputError

#: TFX's intermediate representation of the whole pipeline, and of its ingestion alone.
IR_FILE, INGESTION_IR_FILE = "pipeline.json", "ingestion.json"

TOPOLOGY_FILE, CONFIG_FILE = "topology.json", "config.json"

#: Placeholders for the folders that are known only when a node runs.
_WORKSPACE, _DATA = "/@workspace@", "/@data@"
_SPAN_PARAMETER = "span"
_ACCEPT_PARAMETER = "accept_reason"

#: A path of these characters can be inserted unescaped into JSON text, and into JSON within JSON.
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')

_EPOCH = datetime.date(1970, 1, 1)


@dataclasses.dataclass(frozen=True)
class RunEnvironment:
    """Where a compiled pipeline runs.

    Attributes:
      data_root: The folder of logs.
      workspace: The folder for everything that a run writes.
    """

    data_root: str
    workspace: Workspace


def write_compiled(config: Config, folder: Path) -> dict[str, Any]:
    """Compiles a config's pipeline and writes it into a folder.

    Args:
      config: The deployment.
      folder: Where to write; created if missing.

    Returns:
      The topology: the pipeline's `name`, its `schedule`, `code` (the fingerprint of the code it was compiled with) and
      its `nodes`, each with `id` and `upstream`, in an order in which they can run.
    """
    accept_reason = RuntimeParameter(_ACCEPT_PARAMETER, ptype=str)
    settings = RunSettings(_DATA, Workspace(Path(_WORKSPACE)), accept_reason=accept_reason)
    span = RuntimeParameter(_SPAN_PARAMETER, ptype=int)
    whole = compile_ir(create_pipeline(config, settings, span_parameter=span))
    ingestion = compile_ir(create_pipeline(config, settings, only_ingest=True, span_parameter=span))
    nodes = [
        {"id": node.pipeline_node.node_info.id, "upstream": sorted(node.pipeline_node.upstream_nodes)}
        for node in whole.nodes
    ]
    topology = {
        "name": config.name,
        "code": fingerprint_of_all_code(),
        "schedule": _schedule(config),
        "nodes": nodes,
    }
    for name, text in {
        IR_FILE: json_format.MessageToJson(whole, sort_keys=True),
        INGESTION_IR_FILE: json_format.MessageToJson(ingestion, sort_keys=True),
        CONFIG_FILE: config.to_json(),
        TOPOLOGY_FILE: json.dumps(topology, indent=2),
    }.items():
        storage.write_text(str(folder / name), text + "\n")
    return topology


def _schedule(config: Config) -> dict[str, Any]:
    """Returns the schedule as plain values, for a scheduler's file, which imports nothing of this project."""
    schedule = config.schedule
    log_path = max(config.sources.impressions.paths.values(), key=lambda path: any(t in path for t in SPAN_TOKENS))
    plain: dict[str, Any] = json.loads(TypeAdapter(Schedule).dump_json(schedule))
    return {
        **plain,
        "pods": {"default": dataclasses.asdict(Pod()), **plain["pods"]},
        "marker": schedule.marker or posixpath.join(posixpath.dirname(log_path), SUCCESS_MARKER),
        # If paths contain dates, TFX numbers spans by days since 1970-01-01.
        "first_span": (schedule.start - _EPOCH).days if "{YYYY}" in log_path else schedule.first_span,
    }


def marker_of(topology: Mapping[str, Any], data_root: str, span: int) -> str:
    """Returns the path of the file whose existence means that a span's logs are complete."""
    schedule = topology["schedule"]
    day = datetime.date.fromisoformat(schedule["start"]) + datetime.timedelta(days=span - schedule["first_span"])
    tokens = {"{YYYY}": f"{day:%Y}", "{MM}": f"{day:%m}", "{DD}": f"{day:%d}"}
    marker = re.sub(r"\{SPAN(?::(\d+))?\}", lambda found: str(span).zfill(int(found[1] or 0)), schedule["marker"])
    for token, value in tokens.items():
        marker = marker.replace(token, value)
    return posixpath.join(data_root, marker)


def read_topology(folder: Path) -> dict[str, Any]:
    """Reads a compiled pipeline's topology.

    Raises:
      InputError: If the folder has no compiled pipeline, or one that was compiled with different code.
    """
    text = storage.read_text(str(folder / TOPOLOGY_FILE))
    if text is None:
        raise InputError(f"a compiled pipeline is what `wdr compile` wrote; there is no {TOPOLOGY_FILE} in {folder}")
    topology: dict[str, Any] = json.loads(text)
    if topology["code"] != fingerprint_of_all_code():
        raise InputError(f"a pipeline runs with the code that it was compiled with; compile it again ({folder})")
    return topology


def read_config(folder: Path) -> Config:
    """Reads the config that a pipeline was compiled from."""
    return Config.from_json((folder / CONFIG_FILE).read_text(encoding="utf-8"))


def read_ir(
    folder: Path, name: str, place: RunEnvironment, span: int, run_id: str, accept_reason: str = ""
) -> pipeline_pb2.Pipeline:
    """Reads a compiled pipeline and fills in the values of one run.

    Args:
      folder: The compiled pipeline.
      name: `IR_FILE` or `INGESTION_IR_FILE`.
      place: Where it runs.
      span: The run's span.
      run_id: The run's name.
      accept_reason: Why findings of the gates on data do not stop the run; empty if they do.

    Raises:
      InputError: If a path of `place` has a quote, a backslash or a control character.
    """
    text = (folder / name).read_text(encoding="utf-8")
    for mark, path in ((_WORKSPACE, str(place.workspace.root)), (_DATA, place.data_root)):
        if not _PLAIN.fullmatch(path):
            raise InputError(f"a path must be without quotes, backslashes and control characters. Received: {path!r}")
        text = text.replace(mark, path)
    ir: pipeline_pb2.Pipeline = json_format.Parse(text, pipeline_pb2.Pipeline())
    parameters = {PIPELINE_RUN_ID_PARAMETER_NAME: run_id, _SPAN_PARAMETER: span, _ACCEPT_PARAMETER: accept_reason}
    runtime_parameter_utils.substitute_runtime_parameter(ir, parameters)
    return ir
