"""The traced `preprocessing_fn`: its analyzers, and functions that compute their inputs from serialized examples.

The graph, its collections and the analyzers' operations are those of tf.Transform 1.21.0, none of them public.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_transform import analyzer_nodes, analyzers, impl_helper, tf_utils

from components.examples.reading import map_ahead
from components.transform_executor.token_counts import HASH_BUCKETS, NUM_RANGES, Pruning

PreprocessingFn = Callable[[dict[str, Any]], dict[str, Any]]

_ALLOWED = "Transform computes vocabularies, quantiles, and means and variances of all values only."


@dataclasses.dataclass(frozen=True)
class Result:
    """A tensor of the graph that an analyzer's result replaces.

    Attributes:
      name: The tensor's name.
      dtype: Its dtype.
    """

    name: str
    dtype: tf.DType


@dataclasses.dataclass
class Vocabulary:
    """A vocabulary to learn.

    Attributes:
      key: What its counts are of: a digest of the graph that computes its tokens.
      source: The tensor of its tokens, string `[any]`.
      pruning: Which tokens it keeps.
      file_name: The name of its file.
      reserved: The tokens that it begins with.
      file: The tensor that its file's path replaces.
      unfiltered_size: The tensors that the number of all tokens replaces.
      filtered_size: The tensors that the number of kept tokens, without reserved ones, replaces.
    """

    key: str
    source: tf.Tensor
    pruning: Pruning
    file_name: str
    reserved: tuple[bytes, ...]
    file: Result
    unfiltered_size: list[Result]
    filtered_size: list[Result]


@dataclasses.dataclass
class Combined:
    """Quantiles to compute, or a mean and a variance, each a scalar.

    Attributes:
      key: What its state is of: a digest of the graph that computes its values, and of its settings.
      sources: The tensors that it reads: values, and weights if there are any; for a mean and a variance, number, mean
        and variance of a batch's values, and a weight that is not used.
      combiner: tf.Transform's combiner, which makes a state of values, and results of states.
      results: The tensors that the results replace: the boundaries, or the mean and the variance.
    """

    key: str
    sources: tuple[tf.Tensor, ...]
    combiner: analyzers.QuantilesCombiner | analyzers.WeightedMeanAndVarCombiner
    results: tuple[Result, ...]


Analyzer = Vocabulary | Combined


@dataclasses.dataclass(frozen=True)
class TracedGraph:
    """The graph of `preprocessing_fn` before its analyzers are computed.

    Attributes:
      graph: The graph.
      inputs: Its inputs by raw feature.
      phases: The analyzers; those of a phase need results of earlier phases only.
    """

    graph: Any
    inputs: Mapping[str, Any]
    phases: tuple[tuple[Analyzer, ...], ...]


def type_specs(feature_spec: Mapping[str, Any]) -> dict[str, tf.TypeSpec]:
    """Returns the types of `preprocessing_fn`'s inputs, by raw feature, from how the features are parsed."""
    return {
        name: tf.SparseTensorSpec([None, None], how.dtype)
        if isinstance(how, tf.io.VarLenFeature)
        else tf.TensorSpec([None, *how.shape], how.dtype)
        for name, how in sorted(feature_spec.items())
    }


def traced(preprocessing_fn: PreprocessingFn, specs: Mapping[str, tf.TypeSpec], scratch: str) -> TracedGraph:
    """Traces `preprocessing_fn`, and finds its analyzers.

    Args:
      preprocessing_fn: The function, with one argument.
      specs: As `type_specs` returns them.
      scratch: A folder for tf.Transform's stand-ins of vocabulary files.

    Raises:
      NotImplementedError: If an analyzer is none of: a vocabulary of strings by frequency, quantiles, and a mean and
        variance of all values.
    """
    graph, inputs, _ = impl_helper.trace_preprocessing_function(
        preprocessing_fn, specs, use_tf_compat_v1=False, base_temp_dir=scratch
    )
    return TracedGraph(graph, inputs, _phases(_analyzers(graph, inputs)))


def _analyzers(graph: Any, inputs: Mapping[str, Any]) -> list[Analyzer]:
    digests = _Digests(graph, inputs)
    vocabularies: dict[int, Vocabulary] = {}  # by the identity of the operation that merges its counts
    combined: dict[int, list[tuple[Any, Result]]] = {}  # by the identity of the operation that extracts outputs
    sizes: list[tuple[Any, Result]] = []
    for sink in graph.get_collection(analyzer_nodes.TENSOR_REPLACEMENTS):
        result = Result(sink.tensor.name, sink.tensor.dtype)
        operation = sink.future.parent_operation
        match operation.operation_def:
            case analyzer_nodes.VocabularyOrderAndWrite():
                vocabularies[id(_find_merge(operation))] = _vocabulary(graph, operation, result, digests)
            case analyzer_nodes.VocabularyCount():
                sizes.append((operation, result))
            case analyzer_nodes.ExtractCombineMergeOutputs():
                combined.setdefault(id(operation), []).append((sink.future, result))
            case other:
                raise NotImplementedError(f"{_ALLOWED} Received: {other}")
    for operation, result in sizes:
        vocabulary = vocabularies[id(_find_merge(operation))]
        (counted,) = operation.inputs
        pruned = isinstance(counted.parent_operation.operation_def, analyzer_nodes.VocabularyPrune)
        (vocabulary.filtered_size if pruned else vocabulary.unfiltered_size).append(result)
    return [*vocabularies.values(), *(_combined(outputs, digests) for outputs in combined.values())]


def _find_merge(operation: Any) -> Any:
    """The operation that merges a vocabulary's counts, among those that an operation's first inputs come from."""
    while not isinstance(operation.operation_def, analyzer_nodes.VocabularyMerge):
        operation = operation.inputs[0].parent_operation
    return operation


def _find_sources(operation: Any) -> tuple[tf.Tensor, ...]:
    while not isinstance(operation.operation_def, analyzer_nodes.TensorSource):
        operation = operation.inputs[0].parent_operation
    return tuple(operation.operation_def.tensors)


def _vocabulary(graph: Any, operation: Any, result: Result, digests: _Digests) -> Vocabulary:
    write = operation.operation_def
    prune = operation.inputs[0].parent_operation.operation_def
    accumulate = _find_merge(operation).inputs[0].parent_operation.operation_def
    sources = _find_sources(operation)
    is_by_frequency = (
        len(sources) == 1
        and accumulate.input_dtype == tf.string.name
        and not (prune.key_fn or prune.coverage_top_k or write.fingerprint_shuffle or write.store_frequency)
        and write.file_format == "text"
    )
    if not is_by_frequency:
        raise NotImplementedError(f"Transform computes vocabularies of strings by frequency only. Received: {write}")
    reserved: tuple[bytes, ...] = ()
    if len(operation.inputs) > 1:
        reserved = tuple(tf_utils.fetch_vocabulary_reserved_tokens(graph, write.vocab_filename).tolist())
    return Vocabulary(
        key=digests.of(f"counts in {NUM_RANGES} ranges of hashes", sources),
        source=sources[0],
        pruning=Pruning(prune.frequency_threshold, prune.top_k),
        file_name=write.vocab_filename,
        reserved=reserved,
        file=result,
        unfiltered_size=[],
        filtered_size=[],
    )


def _combined(outputs: Sequence[tuple[Any, Result]], digests: _Digests) -> Combined:
    """The analyzer of a combiner, from the values that the combiner's operation has and the tensors they replace."""
    operation = outputs[0][0].parent_operation
    combiner = operation.inputs[0].parent_operation.operation_def.combiner
    sources = _find_sources(operation)
    settings = ", ".join(f"{name}={value}" for name, value in sorted(vars(combiner).items()))
    results = tuple(result for _, result in sorted(outputs, key=lambda output: output[0].value_index))
    if isinstance(combiner, analyzers.QuantilesCombiner):
        return Combined(digests.of(settings, sources), sources, combiner, results)
    is_moments = isinstance(combiner, analyzers.WeightedMeanAndVarCombiner)
    if is_moments and [info.shape for info in combiner.output_tensor_infos()] == [(), ()]:
        return Combined(digests.of(f"moments, {settings}", sources), sources, combiner, results)
    raise NotImplementedError(f"{_ALLOWED} Received: {combiner}")


def _phases(unordered: Sequence[Analyzer]) -> tuple[tuple[Analyzer, ...], ...]:
    """Splits the analyzers into phases: each only reads tensors that depend on results of earlier phases."""
    phases: list[tuple[Analyzer, ...]] = []
    left = list(unordered)
    while left:
        unknown = {result.name for analyzer in left for result in find_results(analyzer)}
        ready = [a for a in left if not unknown & _ancestors(find_sources(a))]
        assert ready  # a graph has no cycles
        phases.append(tuple(ready))
        left = [a for a in left if not any(a is r for r in ready)]
    return tuple(phases)


def find_results(analyzer: Analyzer) -> list[Result]:
    """Returns the tensors that an analyzer's results replace."""
    if isinstance(analyzer, Vocabulary):
        return [analyzer.file, *analyzer.unfiltered_size, *analyzer.filtered_size]
    return list(analyzer.results)


def find_sources(analyzer: Analyzer) -> tuple[tf.Tensor, ...]:
    """Returns the tensors that an analyzer reads."""
    return (analyzer.source,) if isinstance(analyzer, Vocabulary) else analyzer.sources


def _ancestors(tensors: Sequence[tf.Tensor]) -> set[str]:
    """The names of the tensors, and of all that they are computed from."""
    found: set[str] = set()
    left = list(tensors)
    while left:
        tensor = left.pop()
        if tensor.name not in found:
            found.add(tensor.name)
            left += tensor.op.inputs
    return found


class _Digests:
    """Digests of the parts of a graph: of the operations, not of their names, which an unrelated feature changes."""

    def __init__(self, graph: Any, inputs: Mapping[str, Any]) -> None:
        self._by_operation: dict[str, str] = {}
        for name, value in inputs.items():
            for number, tensor in enumerate(tf.nest.flatten(value, expand_composites=True)):
                self._by_operation[tensor.op.name] = f"input {name} {number}"
        self._functions = {f.signature.name: f for f in graph.as_graph_def().library.function}

    def of(self, what: str, tensors: Sequence[tf.Tensor]) -> str:
        """Returns a hexadecimal digest of what is computed from some tensors, and of how these are computed."""
        return _digest(what, *(f"{self._of_operation(t.op)}:{t.value_index}" for t in tensors))

    def _of_operation(self, operation: tf.Operation) -> str:
        left = [operation]
        while left:  # not by recursion: a graph may be deep
            op = left[-1]
            missing = [t.op for t in op.inputs if t.op.name not in self._by_operation]
            missing += [o for o in op.control_inputs if o.name not in self._by_operation]
            if missing:
                left += missing
                continue
            left.pop()
            if op.name not in self._by_operation:
                inputs = [f"{self._by_operation[t.op.name]}:{t.value_index}" for t in op.inputs]
                controls = sorted(self._by_operation[o.name] for o in op.control_inputs)
                # A placeholder is a result of another analyzer, or something that the graph got from outside it.
                name = op.name if op.type.startswith("Placeholder") else ""
                attributes = [self._attribute(k, v) for k, v in sorted(op.node_def.attr.items())]
                self._by_operation[op.name] = _digest(op.type, name, *attributes, *inputs, "controls", *controls)
        return self._by_operation[operation.name]

    def _attribute(self, name: str, value: Any) -> str:
        text = f"{name}={value.SerializeToString(deterministic=True).hex()}"
        called = [value.func.name] if value.HasField("func") else [f.name for f in value.list.func]
        return text + "".join(self._functions[f].SerializeToString(deterministic=True).hex() for f in called)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


#: Takes batches of serialized examples, string `[batch]`; yields for each batch, by key, for a vocabulary its distinct
#: tokens as `TokenCounter.add` takes them, and for the others what their combiner's `add_input` takes.
AnalysisFunction = Callable[[Iterable[tf.Tensor]], Iterator[dict[str, tuple[Any, ...]]]]


def analysis_function(
    traced_graph: TracedGraph,
    phase: Sequence[Analyzer],
    feature_spec: Mapping[str, Any],
    known: Mapping[str, np.ndarray],
) -> AnalysisFunction:
    """Makes a function of the part of the graph that computes what analyzers read.

    Args:
      traced_graph: The graph.
      phase: The analyzers, of one phase.
      feature_spec: How the examples are parsed.
      known: The results of earlier phases, by the names of the tensors that they replace.
    """
    tensors = {a.key: find_sources(a) for a in phase}
    needed = _ancestors(tf.nest.flatten(tensors))
    graph_def = tf.compat.v1.graph_util.extract_sub_graph(
        traced_graph.graph.as_graph_def(), sorted({name.partition(":")[0] for name in needed})
    )
    components = {
        name: [t.name for t in tf.nest.flatten(value, expand_composites=True)]
        for name, value in traced_graph.inputs.items()
    }
    read = {name: feature_spec[name] for name, names in components.items() if needed & set(names)}
    constants = {name: value for name, value in known.items() if name in needed}
    vocabularies = {a.key for a in phase if isinstance(a, Vocabulary)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)  # type: ignore[untyped-decorator]
    def values(records: tf.Tensor) -> dict[str, Any]:
        parsed = tf.io.parse_example(records, read)
        given = {name: tf.constant(value) for name, value in constants.items()}
        for feature in read:
            given |= zip(components[feature], tf.nest.flatten(parsed[feature], expand_composites=True), strict=True)
        found = tf.graph_util.import_graph_def(
            graph_def,
            {name: value for name, value in given.items() if name in needed},
            [tensor.name for tensor in tf.nest.flatten(tensors)],
        )
        of_analyzers = tf.nest.pack_sequence_as(tensors, found)
        return {key: _unique(of[0]) if key in vocabularies else of for key, of in of_analyzers.items()}

    def on_host(records: tf.Tensor) -> dict[str, Any]:
        arrays: dict[str, Any] = tf.nest.map_structure(lambda tensor: tensor.numpy(), values(records))
        return arrays

    return lambda batches: map_ahead(on_host, batches)


def _unique(tokens: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The distinct tokens, joined to one string, their lengths in bytes, their hashes and their counts."""
    distinct, _, counts = tf.unique_with_counts(tf.reshape(tokens, [-1]), tf.int64)
    hashes = tf.strings.to_hash_bucket_fast(distinct, HASH_BUCKETS)
    return tf.strings.reduce_join(distinct), tf.strings.length(distinct), hashes, counts
