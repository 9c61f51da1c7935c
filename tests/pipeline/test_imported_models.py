"""TFX's own input resolution finds a model that was imported from the serving folder among the pipeline's models."""

from __future__ import annotations

from pathlib import Path

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable.input_resolution.channel_resolver import resolve_single_channel
from tfx.types import standard_artifacts

from components import storage
from components.model_store.manifest import Manifest, read_manifest
from components.model_store.served_models import import_version
from components.model_store.versions import add_version, version_path
from pipeline.create import create_pipeline
from pipeline.metadata.handle import Metadata
from pipeline.nodes.settings import RunSettings
from pipeline.runner.launch import compile_pipeline
from pipeline.workspace import Workspace
from tests.e2e.store import CONFIG, NAME
from transform.config.config_file import load_config


def test_the_resolvers_of_a_later_run_find_the_imported_model(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    root = str(workspace.serving(NAME))
    add_version(
        root,
        lambda folder: storage.write_text(f"{folder}/saved_model.pb", "x"),
        Manifest(model_uri="/gone/model/7", spans=(1,)),
    )
    with Metadata(workspace.metadata_connection()) as handle:
        store = handle.store
        type_id = store.put_context_type(metadata_store_pb2.ContextType(name="pipeline"))
        (context_id,) = store.put_contexts([metadata_store_pb2.Context(type_id=type_id, name=NAME)])
        examples = standard_artifacts.Examples()
        examples.mlmd_artifact.type_id = store.put_artifact_type(examples.artifact_type)
        (examples.id,) = store.put_artifacts([examples.mlmd_artifact])
        attribution = metadata_store_pb2.Attribution(artifact_id=examples.id, context_id=context_id)
        store.put_attributions_and_associations([attribution], [])
        imported = import_version(store, root, 1, read_manifest(version_path(root, 1)), examples)
        assert imported is not None

    pipeline = create_pipeline(load_config(CONFIG), RunSettings("/data", workspace, 2))
    nodes = {n.pipeline_node.node_info.id: n.pipeline_node for n in compile_pipeline(pipeline, "tuesday").nodes}
    channels = [
        channel
        for resolver in ("last_pushed_model", "serving_model")
        for found in nodes[resolver].inputs.inputs.values()
        for channel in found.channels
        if channel.artifact_query.type.name == "Model" and channel.context_queries[0].type.name == "node"
    ]
    assert len(channels) == 2
    for channel in channels:
        with Metadata(workspace.metadata_connection()) as handle:
            (found,) = resolve_single_channel(handle, channel)
        assert (found.id, found.get_string_custom_property("imported_as")) == (imported.id, "/gone/model/7")
