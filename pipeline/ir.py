"""The pipeline in TFX's intermediate representation, with questions to ML Metadata that stay small over the years.

TFX's compiler has each input asked for among the executions of the pipeline, twenty more a day, of its run and of its
node. ML Metadata has no query for all three: all of each are fetched, for every input of every node.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from tfx.dsl.compiler import compiler
from tfx.dsl.compiler.constants import NODE_CONTEXT_TYPE_NAME, PIPELINE_CONTEXT_TYPE_NAME
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.proto.orchestration import pipeline_pb2
from tfx.utils import name_utils

_Channel: TypeAlias = Any  # a message without types: pipeline_pb2.InputSpec.Channel


def compile_ir(pipeline: tfx_pipeline.Pipeline) -> pipeline_pb2.Pipeline:
    """Compiles a pipeline; it holds no connection to ML Metadata.

    An input of the run's is asked for among the executions of its node and its run, which are the pipeline's. An input
    that is everything of a type, of all runs, is asked for among the executions of the nodes that make that type.
    """
    ir: pipeline_pb2.Pipeline = compiler.Compiler().compile(pipeline)
    nodes = [node.pipeline_node for node in ir.nodes]
    makers = _makers(nodes)
    for node in nodes:
        for found in node.inputs.inputs.values():
            channels = [narrow for channel in found.channels for narrow in _narrow(channel, ir, makers)]
            del found.channels[:]
            found.channels.extend(channels)
    return ir


def _makers(nodes: Iterable[pipeline_pb2.PipelineNode]) -> dict[str, list[str]]:
    """By type of artifact, the nodes that make it; a resolver only takes what others made."""
    makers: dict[str, list[str]] = {}
    for node in nodes:
        if node.node_info.type.name != name_utils.get_full_name(Resolver):
            for type_name in {output.artifact_spec.type.name for output in node.outputs.outputs.values()}:
                makers.setdefault(type_name, []).append(node.node_info.id)
    return makers


def _narrow(channel: _Channel, ir: pipeline_pb2.Pipeline, makers: dict[str, list[str]]) -> list[_Channel]:
    """The channels that together give what one does that asks all of the pipeline."""
    narrower = [query for query in channel.context_queries if query.type.name != PIPELINE_CONTEXT_TYPE_NAME]
    makers_here = makers.get(channel.artifact_query.type.name, [])
    if len(narrower) == len(channel.context_queries) or not (narrower or makers_here):
        return [channel]
    if narrower:
        return [_with_queries(channel, narrower)]
    queries = []
    for node in makers_here:
        query = pipeline_pb2.InputSpec.Channel.ContextQuery()
        query.type.name = NODE_CONTEXT_TYPE_NAME
        query.name.field_value.string_value = f"{ir.pipeline_info.id}.{node}"
        queries.append(query)
    return [_with_queries(channel, [query]) for query in queries]


def _with_queries(channel: _Channel, queries: Iterable[Any]) -> _Channel:
    changed = pipeline_pb2.InputSpec.Channel()
    changed.CopyFrom(channel)
    del changed.context_queries[:]
    changed.context_queries.extend(queries)
    return changed
