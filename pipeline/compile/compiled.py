"""The pipeline, compiled once for a scheduler: what each node is, and which nodes it comes after.

A compiled pipeline is a folder. It names neither the folders of a machine nor a database: those come in where a node
runs (`pipeline/runner/run_node.py`), and so the same folder serves a laptop, a scheduler's machine and a cluster.
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

#: What stands in a compiled pipeline for the folders that a node is told when it runs.
_WORKSPACE, _DATA = "/@workspace@", "/@data@"
_SPAN_PARAMETER = "span"
_ACCEPT_PARAMETER = "accept_reason"

#: What a path may hold to be put into JSON text, and into JSON within JSON, as it is.
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')

_EPOCH = datetime.date(1970, 1, 1)


@dataclasses.dataclass(frozen=True)
class RunEnvironment:
    """Where a compiled pipeline runs.

    Attributes:
      data_root: The folder of logs.
      workspace: Where everything goes that a run makes.
    """

    data_root: str
    workspace: Workspace


def write_compiled(config: Config, folder: Path) -> dict[str, Any]:
    """Compiles a config's pipeline.

    Args:
      config: The deployment.
      folder: Where to write; made if need be.

    Returns:
      The topology: the pipeline's `name`, its `schedule`, the `code` it was compiled with, and its `nodes`, each with
      `id` and `upstream`, in an order in which they can run.
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
    """The schedule as a scheduler's file reads it, which imports none of this: plain values only."""
    schedule = config.schedule
    log_path = max(config.sources.impressions.paths.values(), key=lambda path: any(t in path for t in SPAN_TOKENS))
    plain: dict[str, Any] = json.loads(TypeAdapter(Schedule).dump_json(schedule))
    return {
        **plain,
        "pods": {"default": dataclasses.asdict(Pod()), **plain["pods"]},
        "marker": schedule.marker or posixpath.join(posixpath.dirname(log_path), SUCCESS_MARKER),
        # Where paths have dates, TFX counts the days since 1970.
        "first_span": (schedule.start - _EPOCH).days if "{YYYY}" in log_path else schedule.first_span,
    }


def marker_of(topology: Mapping[str, Any], data_root: str, span: int) -> str:
    """The file that tells that a span's logs are complete."""
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
      InputError: If the folder holds no compiled pipeline, or one that was compiled with other code.
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
    """Reads a compiled pipeline, for one run of it.

    Args:
      folder: The compiled pipeline.
      name: `IR_FILE` or `INGESTION_IR_FILE`.
      place: Where it runs.
      span: The run's span.
      run_id: The run's name.
      accept_reason: Why what the gates on data find does not stop the run; empty if it does.

    Raises:
      InputError: If a path of the place has a character that cannot stand in it.
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
