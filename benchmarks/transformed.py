"""Data sets for the trainer's benchmarks: ingested and transformed by the pipeline, trained on as by TFX."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from pipeline.create import create_pipeline
from pipeline.nodes.names import EXAMPLE_GEN
from pipeline.nodes.settings import RunSettings, write_schema
from pipeline.runner.launch import compile_pipeline, run_nodes
from pipeline.runner.window import spans_to_ingest
from pipeline.workspace import Workspace, new_run_id
from trainer.run_fn import run_fn
from trainer.training.report import TrainingReport, read_training_report
from trainer.training.setup import TrainingSetup, prepare
from transform.config.component_configs import for_trainer
from transform.config.config import Config
from transform.files.reference_scores import USER_KEY
from transform.preprocessing import CONFIG_KEY


@dataclasses.dataclass(frozen=True)
class Transformed:
    """A span's window as the trainer receives it.

    Attributes:
      config: The deployment.
      examples: The folders of the transformed examples, one per span of the window.
      graph: The folder of the transform graph.
    """

    config: Config
    examples: tuple[Path, ...]
    graph: Path

    def patterns(self, split: str) -> list[str]:
        """Returns the glob patterns of a split's files."""
        return [str(folder / f"Split-{split}" / "*") for folder in self.examples]

    def train(self, config: Config, folder: Path, base_model: str | None = None) -> TrainingReport:
        """Trains with a model or training config that may differ from the deployment's.

        Args:
          config: The deployment with the changes.
          folder: The folder for the model.
          base_model: The SavedModel to start from; None for a cold start.

        Returns:
          The training report.
        """
        run_fn(
            FnArgs(
                train_files=self.patterns("train"),
                eval_files=self.patterns("eval"),
                transform_graph_path=str(self.graph),
                base_model=base_model,
                serving_model_dir=str(serving_model_dir(folder)),
                custom_config={CONFIG_KEY: for_trainer(config).to_json(), USER_KEY: config.user},
            )
        )
        return read_training_report(str(folder))

    def prepare(self, config: Config, base_model: str | None = None) -> TrainingSetup:
        """Returns the setup of `train` before its first step; the arguments are the same."""
        tft_output = tft.TFTransformOutput(str(self.graph))
        return prepare(config, tft_output, self.patterns("train"), self.patterns("eval"), base_model)


def serving_model_dir(folder: Path) -> Path:
    """Returns the folder of the SavedModel in a model's folder."""
    return folder / "Format-Serving"


def transform_span(config: Config, data_root: Path, folder: Path, span: int | None = None) -> Transformed:
    """Runs the pipeline up to tf.Transform; ingests the earlier spans of the window first, as `wdr run` does.

    Args:
      config: The deployment.
      data_root: The folder below which its sources lie.
      folder: The workspace.
      span: The span; None takes the latest.

    Returns:
      The trainer's input.
    """
    _run_until("transform", config, data_root, folder, span)
    return transformed(config, folder)


def transformed(config: Config, folder: Path) -> Transformed:
    """Returns the newest trainer's input in a workspace; the arguments are those of `transform_span`."""
    outputs = Workspace.at(folder).artifacts / "transform"
    last = newest(outputs / "transformed_examples")
    examples = (last,) if (last / "Split-train").exists() else tuple(sorted(last.iterdir()))
    return Transformed(config, examples, newest(outputs / "transform_graph"))


def ingest_span(config: Config, data_root: Path, folder: Path, span: int) -> Path:
    """Runs only the ingestion; the arguments are those of `transform_span`. Returns the folder of the raw examples."""
    return newest(_run_until(EXAMPLE_GEN, config, data_root, folder, span) / "examples")


def _run_until(node_id: str, config: Config, data_root: Path, folder: Path, span: int | None) -> Path:
    """Runs the pipeline up to a node; returns the folder of that node's outputs."""
    workspace = Workspace.at(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_schema(config, workspace)
    # Those that another config ingested, too: its examples may lack this one's columns, and are not in the window.
    of_window = () if span is None or node_id == EXAMPLE_GEN else spans_to_ingest(config, str(data_root), span)
    for earlier in of_window:
        settings = RunSettings(str(data_root), workspace, earlier)
        pipeline = create_pipeline(config, settings, only_ingest=True)
        list(run_nodes(compile_pipeline(pipeline, f"{new_run_id()}-{earlier}"), workspace.metadata_connection()))
    pipeline = create_pipeline(config, RunSettings(str(data_root), workspace, span))
    for event in run_nodes(compile_pipeline(pipeline, new_run_id()), workspace.metadata_connection()):
        if event.node_id == node_id and event.state != "running":
            break
    return workspace.artifacts / node_id


def newest(folder: Path) -> Path:
    """Returns the newest of the folders of a node's output, which are named by the number of their execution."""
    return max(folder.iterdir(), key=lambda path: int(path.name))
