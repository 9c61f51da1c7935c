"""A pipeline of two components that do nothing, by which the canaries see what TFX does with a component."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.execution_types import recorded_as
from components.uncached import UncachedDriver

#: The type under which ML Metadata has the producer's executions.
RECORDED = "canaries.Producer"


class _Executor(base_executor.BaseExecutor):  # type: ignore[misc]
    def Do(self, input_dict: Any, output_dict: Any, exec_properties: dict[str, Any]) -> None:
        assert exec_properties["number"] == 7


class _ProducerSpec(ComponentSpec):  # type: ignore[misc]
    PARAMETERS = {"number": ExecutionParameter(type=int)}
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {"schema": ChannelParameter(type=standard_artifacts.Schema)}


class _ConsumerSpec(ComponentSpec):  # type: ignore[misc]
    PARAMETERS = {"number": ExecutionParameter(type=int)}
    INPUTS = {"schema": ChannelParameter(type=standard_artifacts.Schema)}
    OUTPUTS: dict[str, ChannelParameter] = {}


@recorded_as(RECORDED)
class Producer(base_component.BaseComponent):  # type: ignore[misc]
    SPEC_CLASS = _ProducerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(_Executor)
    DRIVER_CLASS = UncachedDriver

    def __init__(self) -> None:
        super().__init__(spec=_ProducerSpec(number=7, schema=types.Channel(type=standard_artifacts.Schema)))


class Consumer(base_component.BaseComponent):  # type: ignore[misc]
    SPEC_CLASS = _ConsumerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(_Executor)

    def __init__(self, schema: types.BaseChannel) -> None:
        super().__init__(spec=_ConsumerSpec(number=7, schema=schema))


def tiny_pipeline(folder: Path | str = "/tiny") -> tfx_pipeline.Pipeline:
    """The pipeline, whose artifacts are in `folder/artifacts` and whose ML Metadata is `folder/metadata.db`."""
    producer = Producer()
    return tfx_pipeline.Pipeline(
        pipeline_name="tiny",
        pipeline_root=f"{folder}/artifacts",
        metadata_connection_config=connection(folder),
        components=[producer, Consumer(producer.outputs["schema"])],
    )


def connection(folder: Path | str) -> metadata_store_pb2.ConnectionConfig:
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = f"{folder}/metadata.db"
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return config
