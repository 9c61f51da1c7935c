"""The pipeline for TFX's own command line: `tfx pipeline create --engine=local` and `tfx run create --engine=local`.

Its settings come from environment variables, since the local engine has no runtime parameters: WDR_CONFIG (a YAML
file), WDR_DATA, WDR_WORKSPACE and WDR_SPAN. In a checkout, the defaults are those of the simulated store, as in
`make run`; an installed package has no folders of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.proto.orchestration import pipeline_pb2

from components.fingerprint import ROOT
from pipeline.beam_options import check_beam, make_beam_args
from pipeline.claim.lock import claimed
from pipeline.compile.ir import with_node_runs
from pipeline.create import create_pipeline
from pipeline.nodes.settings import RunSettings, write_schema
from pipeline.runner.lost_metadata import reserve_ids
from pipeline.workspace import Workspace
from transform.config.config_file import load_config
from transform.errors import InputError


def path_from_environment(name: str, default: str) -> Path:
    """Returns the absolute path in an environment variable.

    Args:
      name: The variable.
      default: The path in the checkout that is taken if the variable is not set.

    Raises:
      InputError: If the variable is not set and the project does not run from a checkout.
    """
    value = os.environ.get(name)
    if value is None and not (ROOT / "pyproject.toml").is_file():
        raise InputError(f"{name} must be set where the project runs without its checkout. Received: nothing ({ROOT})")
    return Path(ROOT / default if value is None else value).absolute()


def workspace_from_environment() -> Workspace:
    """Returns the workspace that WDR_WORKSPACE names."""
    return Workspace.at(path_from_environment("WDR_WORKSPACE", "runs/workspace"))


def pipeline_from_environment() -> tfx_pipeline.Pipeline:
    """Builds the pipeline that the environment variables describe, with the workspace's connection to ML Metadata."""
    config = load_config(path_from_environment("WDR_CONFIG", "configs/app_store.yaml"))
    data_root = path_from_environment("WDR_DATA", "runs/data")
    workspace = workspace_from_environment()
    span = os.environ.get("WDR_SPAN")
    check_beam(config.beam)
    write_schema(config, workspace)
    settings = RunSettings(str(data_root), workspace, None if span is None else int(span))
    pipeline = create_pipeline(config, settings, beam_args=make_beam_args(config.beam))
    pipeline.metadata_connection_config = workspace.metadata_connection()
    return pipeline


class _Runner(LocalDagRunner):  # type: ignore[misc]
    """TFX's local runner; adds the contexts by which a workspace recognizes its own executions.

    `tfx` patches `run`; as of TFX 1.21.0, that calls `run_with_ir`, which `tfx.v1` does not document.
    """

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None) -> None:
        super().run_with_ir(with_node_runs(pipeline), run_options)


if __name__ == "__main__":
    with claimed(workspace_from_environment()):
        pipeline = pipeline_from_environment()
        reserve_ids(pipeline.metadata_connection_config, workspace_from_environment())
        _Runner().run(pipeline)
