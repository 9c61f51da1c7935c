"""The pipeline for TFX's own command line: `tfx pipeline create --engine=local` and `tfx run create --engine=local`.

Its settings come from environment variables, since the local engine has no runtime parameters: WDR_CONFIG (a YAML
file), WDR_DATA, WDR_WORKSPACE and WDR_SPAN. The defaults are those of the simulated store, as in `make run`.
"""

from __future__ import annotations

import os
from pathlib import Path

from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.proto.orchestration import pipeline_pb2

from components.fingerprint import ROOT
from pipeline.compile.ir import with_node_runs
from pipeline.create import RunSettings, create_pipeline
from pipeline.runner.lost_metadata import reserve_ids
from pipeline.schema_file import write_schema
from pipeline.workspace import Workspace
from pipeline.workspace_lock import claimed
from transform.config.config import load_config


def workspace_from_environment() -> Workspace:
    """Returns the workspace that WDR_WORKSPACE names."""
    return Workspace.at(os.environ.get("WDR_WORKSPACE", ROOT / "runs" / "workspace"))


def pipeline_from_environment() -> tfx_pipeline.Pipeline:
    """Builds the pipeline that the environment variables describe, with the workspace's connection to ML Metadata."""
    config = load_config(os.environ.get("WDR_CONFIG", str(ROOT / "configs" / "app_store.yaml")))
    data_root = Path(os.environ.get("WDR_DATA", ROOT / "runs" / "data")).absolute()
    workspace = workspace_from_environment()
    span = os.environ.get("WDR_SPAN")
    write_schema(config, workspace)
    pipeline = create_pipeline(config, RunSettings(str(data_root), workspace, None if span is None else int(span)))
    pipeline.metadata_connection_config = workspace.metadata_connection()
    return pipeline


class _Runner(LocalDagRunner):  # type: ignore[misc]
    """TFX's local runner; adds the contexts by which a workspace recognizes its own executions. `tfx` patches `run`."""

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None) -> None:
        super().run_with_ir(with_node_runs(pipeline), run_options)


if __name__ == "__main__":
    with claimed(workspace_from_environment()):
        pipeline = pipeline_from_environment()
        reserve_ids(pipeline.metadata_connection_config, workspace_from_environment())
        _Runner().run(pipeline)
