"""The resolvers of what a run learns from beside its own span: earlier spans, their analysis and their vocabularies."""

from __future__ import annotations

from typing import NamedTuple

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import Channel, standard_artifacts

from components.artifact_types import VocabularyMemory
from components.data_validation.gates import RowGate
from components.late_labels.component import COMPLETED
from components.resolvers import EarlierMemory, LatestPrecedingArtifact, SpanWindow
from pipeline.nodes.data import GATES_ON_DATA, all_runs_channel
from pipeline.nodes.settings import NodeSettings


class Window(NamedTuple):
    """The resolvers of earlier spans, of their analysis and of their vocabularies."""

    span_window: Resolver
    analyzer_cache: Resolver
    vocabulary_memory: Resolver


def window(settings: NodeSettings, examples: Channel, late: list[BaseNode]) -> Window:
    """Returns the resolvers; `late` are the nodes of the labels of the span before."""
    # A channel of all runs makes no node wait for this run's.
    completed = {"completed": all_runs_channel(standard_artifacts.Examples, COMPLETED)} if late else {}
    span_window = Resolver(
        strategy_class=SpanWindow,
        config={"num_spans": settings.window_spans, "gates": GATES_ON_DATA, "row_gate": RowGate.get_class_type()},
        examples=examples,
        history=all_runs_channel(standard_artifacts.Examples, "examples"),
        **completed,
    ).with_id("span_window")
    span_window.add_upstream_nodes(late)
    analyzer_cache = Resolver(
        strategy_class=LatestPrecedingArtifact,
        examples=examples,
        candidates=all_runs_channel(standard_artifacts.TransformCache, "updated_analyzer_cache"),
    ).with_id("analyzer_cache")
    vocabulary_memory = Resolver(
        strategy_class=EarlierMemory, examples=examples, candidates=all_runs_channel(VocabularyMemory, "updated_memory")
    ).with_id("vocabulary_memory")
    return Window(span_window, analyzer_cache, vocabulary_memory)
