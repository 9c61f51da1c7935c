"""Compiles a pipeline into TFX's intermediate representation, with ML Metadata queries whose cost does not grow.

The compiler of TFX 1.21.0, which is not part of `tfx.v1`, queries each input in three contexts at once: the pipeline's,
which gains twenty executions a day; the run's; and the node's, which gains one a day. ML Metadata cannot intersect the
three in one query, so TFX fetches all executions of each context, for every input of every node. This module therefore
gives each node one more context, which belongs to that node in that run alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from tfx.dsl.compiler import compiler
from tfx.dsl.compiler.constants import (
    NODE_CONTEXT_TYPE_NAME,
    PIPELINE_CONTEXT_TYPE_NAME,
    PIPELINE_RUN_CONTEXT_TYPE_NAME,
    PIPELINE_RUN_ID_PARAMETER_NAME,
)
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.proto.orchestration import pipeline_pb2

from pipeline.metadata.store import NODE_RUN, node_run_name

_Channel: TypeAlias = Any  # a message without types: pipeline_pb2.InputSpec.Channel


def compile_ir(pipeline: tfx_pipeline.Pipeline) -> pipeline_pb2.Pipeline:
    """Compiles a pipeline; the result has a connection to ML Metadata only if the pipeline has one."""
    return with_node_runs(compiler.Compiler().compile(pipeline))


def with_node_runs(ir: pipeline_pb2.Pipeline) -> pipeline_pb2.Pipeline:
    """Adds to each node of a compiled pipeline its node-run context; changes `ir` in place and returns it.

    An input from the same run is then queried in the context of its producer in that run. An input from all runs is
    queried in the contexts of the nodes that have an output of its name and artifact type.
    """
    nodes = [node.pipeline_node for node in ir.nodes]
    makers = _makers(nodes)
    for node in nodes:
        context = node.contexts.contexts.add()
        context.type.name = NODE_RUN
        _name_node_run(context.name, node.node_info.id)
        for found in node.inputs.inputs.values():
            channels = [narrow for channel in found.channels for narrow in _narrow(channel, ir, makers)]
            del found.channels[:]
            found.channels.extend(channels)
    return ir


def _makers(nodes: Iterable[pipeline_pb2.PipelineNode]) -> dict[tuple[str, str], list[str]]:
    """Maps each output name and artifact type to its producers, without resolvers, which only pass artifacts on."""
    makers: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        if node.node_info.type.name != Resolver.get_class_type():
            for name, output in node.outputs.outputs.items():
                makers.setdefault((name, output.artifact_spec.type.name), []).append(node.node_info.id)
    return makers


def _narrow(channel: _Channel, ir: pipeline_pb2.Pipeline, makers: dict[tuple[str, str], list[str]]) -> list[_Channel]:
    """Returns channels that together yield the same artifacts as `channel`, with queries of fewer executions."""
    asked = {query.type.name for query in channel.context_queries}
    if asked == {PIPELINE_CONTEXT_TYPE_NAME, PIPELINE_RUN_CONTEXT_TYPE_NAME, NODE_CONTEXT_TYPE_NAME}:
        narrow, query = _asking_one(channel, NODE_RUN)
        _name_node_run(query.name, channel.producer_node_query.id)
        return [narrow]
    if asked != {PIPELINE_CONTEXT_TYPE_NAME}:
        return [channel]
    key, found = (channel.output_key, channel.artifact_query.type.name), []
    if key not in makers:
        raise ValueError(f"no node has an output `{key[0]}` of the type {key[1]}")
    for node in makers[key]:
        narrow, query = _asking_one(channel, NODE_CONTEXT_TYPE_NAME)
        query.name.field_value.string_value = f"{ir.pipeline_info.id}.{node}"
        found.append(narrow)
    return found


def _asking_one(channel: _Channel, context_type: str) -> tuple[_Channel, Any]:
    """Returns a copy of a channel with a single context query, and that query, which has no name yet."""
    narrow = pipeline_pb2.InputSpec.Channel()
    narrow.CopyFrom(channel)
    del narrow.context_queries[:]
    query = narrow.context_queries.add()
    query.type.name = context_type
    return narrow, query


def _name_node_run(name: Any, node: str) -> None:
    """Sets `name` to the name of a node's context in a run whose id is a runtime parameter."""
    parts = name.structural_runtime_parameter.parts
    run = parts.add().runtime_parameter
    run.name, run.type = PIPELINE_RUN_ID_PARAMETER_NAME, pipeline_pb2.RuntimeParameter.STRING
    parts.add().constant_value = node_run_name("", node)
