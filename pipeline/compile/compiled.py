"""The compiled pipeline: a folder that `wdr compile` writes once and a scheduler runs, node by node.

It names no folder of a machine and no database: these are supplied where a node runs (`pipeline/runner/run_node.py`),
so that the same compiled pipeline runs on a laptop, on a scheduler's machine and in a cluster.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from google.protobuf import json_format

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.compiler.constants import PIPELINE_RUN_ID_PARAMETER_NAME
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from components import storage
from components.fingerprint import fingerprint_of_all_code
from pipeline.compile.ir import compile_ir
from pipeline.compile.topology import CompiledSchedule, Node, Topology, check_pods, grouped
from pipeline.create import create_pipeline
from pipeline.nodes.names import EXAMPLE_GEN, OPTIONAL_NODES, QUALITY_GATE, SCHEMA_GEN
from pipeline.nodes.settings import RunSettings
from pipeline.workspace import Workspace
from transform.config.config import Config
from transform.errors import InputError

#: TFX's intermediate representation of the whole pipeline, and of its ingestion alone.
IR_FILE, INGESTION_IR_FILE = "pipeline.json", "ingestion.json"

TOPOLOGY_FILE, CONFIG_FILE = "topology.json", "config.json"

#: Placeholders for the folders that are known only when a node runs.
_WORKSPACE, _DATA = "/@workspace@", "/@data@"
_SPAN_PARAMETER = "span"

#: The nodes that only read what the node before them has written, besides resolvers; with `wdr compile --group` they
#: share its task. `quality_gate` reads all evaluation rows, as `evaluator` before it does.
_GATES = (SCHEMA_GEN, "row_gate", "example_validator", "anomaly_gate", "data_gate", QUALITY_GATE)
_ACCEPT_PARAMETER = "accept_reason"

#: A path of these characters can be inserted unescaped into JSON text, and into JSON within JSON.
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')


@dataclasses.dataclass(frozen=True)
class RunEnvironment:
    """Where a compiled pipeline runs.

    Attributes:
      data_root: The folder of logs.
      workspace: The folder for everything that a run writes.
    """

    data_root: str
    workspace: Workspace


def write_compiled(config: Config, folder: Path, *, group: bool = False) -> Topology:
    """Compiles a config's pipeline, writes it into a folder, and returns its topology.

    Args:
      config: The deployment.
      folder: Where to write; created if missing.
      group: Whether resolvers and gates share the task of the node before them, other than that of `example_gen`.

    Raises:
      InputError: If the config has a pod for what is no node, or for a node that shares the task, and so the pod, of
        another node.
    """
    accept_reason = RuntimeParameter(_ACCEPT_PARAMETER, ptype=str)
    settings = RunSettings(_DATA, Workspace(Path(_WORKSPACE)), accept_reason=accept_reason)
    span = RuntimeParameter(_SPAN_PARAMETER, ptype=int)
    whole = compile_ir(create_pipeline(config, settings, span_parameter=span))
    ingestion = compile_ir(create_pipeline(config, settings, only_ingest=True, span_parameter=span))
    nodes = tuple(
        Node(node.pipeline_node.node_info.id, tuple(sorted(node.pipeline_node.upstream_nodes))) for node in whole.nodes
    )
    trivial = {
        node.pipeline_node.node_info.id
        for node in whole.nodes
        if node.pipeline_node.node_info.type.name == Resolver.get_class_type()
    }
    # `example_gen` that is asked for again begins the run again: a task that is tried again must not ask for it on the
    # way to another node, as to a gate that a person has let through meanwhile.
    tasks = grouped([node.id for node in nodes], {*trivial, *_GATES} if group else (), alone=(EXAMPLE_GEN,))
    check_pods(config.schedule.pods, tasks, OPTIONAL_NODES)
    topology = Topology(config.name, fingerprint_of_all_code(), CompiledSchedule.of(config), nodes, tasks)
    for name, text in {
        IR_FILE: json_format.MessageToJson(whole, sort_keys=True),
        INGESTION_IR_FILE: json_format.MessageToJson(ingestion, sort_keys=True),
        CONFIG_FILE: config.to_json(),
        TOPOLOGY_FILE: topology.to_json(),
    }.items():
        storage.write_text(str(folder / name), text.rstrip("\n") + "\n")
    return topology


def read_topology(folder: Path) -> Topology:
    """Reads a compiled pipeline's topology.

    Raises:
      InputError: If the folder has no compiled pipeline, a damaged one, or one that was compiled with different code.
    """
    path = str(folder / TOPOLOGY_FILE)
    text = storage.read_text(path)
    if text is None:
        raise InputError(f"a compiled pipeline is what `wdr compile` wrote; there is no {TOPOLOGY_FILE} in {folder}")
    if _is_of_other_code(text):
        raise InputError(f"a pipeline runs with the code that it was compiled with; compile it again ({folder})")
    return Topology.from_json(text, path)


def _is_of_other_code(text: str) -> bool:
    """Returns whether other code has written a topology, whose keys may differ from those of this release."""
    try:
        found = json.loads(text)
    except ValueError:  # described by `Topology.from_json`
        return False
    return isinstance(found, dict) and "code" in found and found["code"] != fingerprint_of_all_code()


def read_config(folder: Path) -> Config:
    """Reads the config that a pipeline was compiled from."""
    return Config.from_json((folder / CONFIG_FILE).read_text(encoding="utf-8"))


def read_ir(
    folder: Path, name: str, environment: RunEnvironment, span: int, run_id: str, accept_reason: str = ""
) -> pipeline_pb2.Pipeline:
    """Reads a compiled pipeline and fills in the values of one run.

    Args:
      folder: The compiled pipeline.
      name: `IR_FILE` or `INGESTION_IR_FILE`.
      environment: Where it runs.
      span: The run's span.
      run_id: The run's name.
      accept_reason: Why findings of the gates on data do not stop the run; empty if they do.

    Raises:
      InputError: If a path of `environment` has a quote, a backslash or a control character.
    """
    text = (folder / name).read_text(encoding="utf-8")
    for mark, path in ((_WORKSPACE, str(environment.workspace.root)), (_DATA, environment.data_root)):
        if not _PLAIN.fullmatch(path):
            raise InputError(f"a path must be without quotes, backslashes and control characters. Received: {path!r}")
        text = text.replace(mark, path)
    ir: pipeline_pb2.Pipeline = json_format.Parse(text, pipeline_pb2.Pipeline())
    parameters = {PIPELINE_RUN_ID_PARAMETER_NAME: run_id, _SPAN_PARAMETER: span, _ACCEPT_PARAMETER: accept_reason}
    runtime_parameter_utils.substitute_runtime_parameter(ir, parameters)
    return ir
