"""Artifacts and executions in a real ML Metadata store, as runs would record them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.types import artifact_utils, standard_artifacts

from components.artifacts import INPUT_FINGERPRINT, SPLIT_RULE, UNFIT


class Lineage:
    """Writes artifacts and the executions that made them.

    Args:
      root: The folder of the artifacts; a model has a file there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        connection = metadata_store_pb2.ConnectionConfig()
        connection.fake_database.SetInParent()  # SQLite in memory
        self.store = mlmd.MetadataStore(connection)
        self._numbers = itertools.count()
        type_id = self.store.put_context_type(metadata_store_pb2.ContextType(name="pipeline"))
        (self._pipeline,) = self.store.put_contexts([metadata_store_pb2.Context(type_id=type_id, name="store")])

    def put(self, kind: type[types.Artifact], *read: types.Artifact, **properties: int | str) -> Any:
        """Adds an artifact that an execution made from others."""
        artifact: Any = kind()
        for name, value in properties.items():
            if isinstance(value, int):
                artifact.set_int_custom_property(name, value)
            else:
                artifact.set_string_custom_property(name, value)
        type_id = self.store.put_artifact_type(artifact.artifact_type)
        proto = artifact.mlmd_artifact
        proto.type_id = type_id
        proto.uri = str(self._root / str(next(self._numbers)))
        (id_,) = self.store.put_artifacts([proto])
        attribution = metadata_store_pb2.Attribution(artifact_id=id_, context_id=self._pipeline)
        self.store.put_attributions_and_associations([attribution], [])
        self.execute(read, id_)
        (stored,) = self.store.get_artifacts_by_id([id_])
        return artifact_utils.deserialize_artifact(self.store.get_artifact_types_by_id([type_id])[0], stored)

    def execute(self, read: tuple[types.Artifact, ...], output_id: int) -> None:
        """Adds an execution that read artifacts and output one: made it, or took it from the cache."""
        type_id = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name="Component"))
        (execution_id,) = self.store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
        event = metadata_store_pb2.Event
        inputs = [event(artifact_id=a.id, execution_id=execution_id, type=event.INPUT) for a in read]
        self.store.put_events([*inputs, event(artifact_id=output_id, execution_id=execution_id, type=event.OUTPUT)])

    def gate(self, execution_type: str, *read: types.Artifact, passed: bool) -> None:
        """Adds an execution of a gate that read artifacts and let them through, or stopped the run."""
        type_id = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name=execution_type))
        execution = metadata_store_pb2.Execution
        state = execution.COMPLETE if passed else execution.FAILED
        (id_,) = self.store.put_executions([execution(type_id=type_id, last_known_state=state)])
        event = metadata_store_pb2.Event
        self.store.put_events([event(artifact_id=a.id, execution_id=id_, type=event.INPUT) for a in read])

    def remove(self, artifact: types.Artifact) -> None:
        """Marks an artifact as `wdr gc` does once its files are removed; TFX's resolvers no longer receive it."""
        (stored,) = self.store.get_artifacts_by_id([artifact.id])
        stored.state = metadata_store_pb2.Artifact.DELETED
        self.store.put_artifacts([stored])

    def model(self, *read: types.Artifact) -> Any:
        """Adds a model that was trained on Transform's output Examples, which have no span."""
        model = self.put(standard_artifacts.Model, self.put(standard_artifacts.Examples, *read))
        folder = Path(model.uri) / "Format-Serving"
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(model.uri)
        return model

    def examples(self, span: int, unfit: str = "", rows: str = "", split_rule: str = "by request") -> Any:
        """Adds Examples of a span, with a new fingerprint of the files unless `rows` gives one."""
        rows = rows or f"files {next(self._numbers)}"
        properties = {UNFIT: unfit, INPUT_FINGERPRINT: rows, SPLIT_RULE: split_rule}
        return self.put(standard_artifacts.Examples, span=span, **properties)
