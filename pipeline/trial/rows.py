"""A trial's rows: ingested and transformed by the pipeline's own components, once for all configs that read them alike.

TFX's cache decides what is done again: two configs that differ in the model alone share their transformed rows.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.proto import transform_pb2

from components.fingerprint import code_fingerprint
from components.ingestion.component import ImpressionExampleGen
from components.lineage import read_artifacts
from components.row_sample import ALL_ROWS, SampleExamples
from components.stateful_transform import StatefulTransform
from pipeline.beam_options import make_beam_args
from pipeline.metadata.handle import Metadata
from pipeline.nodes.names import PREPROCESSING_FN
from pipeline.nodes.settings import schema_path, write_schema
from pipeline.runner.launch import NodeEvent, compile_pipeline, run_nodes
from pipeline.workspace import Workspace, new_run_id
from transform.config import component_configs
from transform.config.config import Config
from transform.preprocessing import CODE_KEY, CONFIG_KEY

#: The name of all configs in the scratch workspace: TFX's cache serves the runs of one pipeline only.
_NAME = "trial"

_SAMPLE, _TRANSFORM = "sample", "transform"


@dataclasses.dataclass(frozen=True)
class PreparedRows:
    """The rows of a trial by one config, or by several that read them alike.

    Attributes:
      raw_eval: The folder of the raw evaluation examples.
      transform_graph: The folder of the transform graph.
      transformed: The folder of the transformed examples, with a folder for each split.
    """

    raw_eval: str
    transform_graph: str
    transformed: str

    def files(self, split: str) -> list[str]:
        """The pattern of a split's transformed files; the folder's name is that of TFX 1.21.0."""
        return [os.path.join(self.transformed, f"Split-{split}", "*")]


def prepare_rows(
    config: Config,
    data_root: str,
    span: int | None,
    num_rows: int | None,
    workspace: Workspace,
    on_event: Callable[[NodeEvent], None],
) -> PreparedRows:
    """Ingests a span, draws rows of it and transforms them, each unless the workspace has the result.

    Args:
      config: The deployment.
      data_root: The folder below which the config's sources lie.
      span: The span; None takes the latest.
      num_rows: The most rows to draw, of both splits together; None takes all.
      workspace: The scratch workspace.
      on_event: Called when a node starts or ends.
    """
    config = dataclasses.replace(config, name=_NAME)
    write_schema(config, workspace)
    pipeline = _pipeline(config, data_root, span, ALL_ROWS if num_rows is None else num_rows, workspace)
    connection, executions = workspace.sqlite_connection(), dict[str, int]()
    for event in run_nodes(compile_pipeline(pipeline, new_run_id()), connection, make_beam_args(config.beam)):
        on_event(event)
        if event.execution_id is not None:
            executions[event.node_id] = event.execution_id
    with Metadata(connection) as handle:
        raw, transformed = (
            {artifact.type: artifact.uri for artifact in read_artifacts(handle.store, executions[node], inputs=False)}
            for node in (_SAMPLE, _TRANSFORM)
        )
    eval_folder = os.path.join(raw["Examples"], "Split-eval")
    return PreparedRows(eval_folder, transformed["TransformGraph"], transformed["Examples"])


def _pipeline(
    config: Config, data_root: str, span: int | None, num_rows: int, workspace: Workspace
) -> tfx_pipeline.Pipeline:
    example_gen = ImpressionExampleGen(
        config=component_configs.for_ingestion(config).to_json(),
        data_root=data_root,
        span=span,
        code_fingerprint=code_fingerprint(ImpressionExampleGen),
    )
    sample = SampleExamples(
        examples=example_gen.outputs["examples"],
        quarantine=example_gen.outputs["quarantine"],
        num_rows=num_rows,
        code_fingerprint=code_fingerprint(SampleExamples),
    ).with_id(_SAMPLE)
    schema_gen = ImportSchemaGen(schema_file=str(schema_path(config, workspace)))
    transform = StatefulTransform(
        examples=sample.outputs["sample"],
        schema=schema_gen.outputs["schema"],
        preprocessing_fn=PREPROCESSING_FN,
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval"]),
        analyzer_cache=None,
        memory=None,
        custom_config={
            CONFIG_KEY: component_configs.for_transform(config).to_json(),
            CODE_KEY: code_fingerprint(StatefulTransform, PREPROCESSING_FN),
        },
    ).with_id(_TRANSFORM)
    return tfx_pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(workspace.artifacts),
        components=[example_gen, sample, schema_gen, transform],
        enable_cache=True,
    )
