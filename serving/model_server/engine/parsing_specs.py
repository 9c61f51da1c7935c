"""Finds the features that a signature parses as floats, by the operations in its graph that parse tf.Examples.

JSON has one type of number: `25`, as the value of a float feature, only looks like an int64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from tensorflow.core.framework import node_def_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

_Nodes = Mapping[str, node_def_pb2.NodeDef]


class ParsingSpecs:
    """A graph and its functions; each function is read once."""

    def __init__(self, meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
        """Indexes the nodes; none is read yet.

        Args:
          meta_graph: The graph, with its functions.
        """
        self._graph = {node.name: node for node in meta_graph.graph_def.node}
        self._functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
        self._read: dict[str, tuple[set[str], set[str]]] = {}

    def float_features(self, signature: meta_graph_pb2.SignatureDef) -> frozenset[str]:
        """Returns the names of the features that a signature's operations parse as floats.

        An operation whose feature names are not constants of the graph adds none.

        Args:
          signature: A signature of the graph.
        """
        nodes = _reachable(self._graph, (info.name for info in signature.outputs.values()))
        floats, waiting = self._of(nodes, self._graph)
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name not in self._read:
                body = {node.name: node for node in self._functions[name].node_def}
                self._read[name] = self._of(body.values(), body)
            found, called = self._read[name]
            floats |= found
            waiting |= called
        return frozenset(floats)

    def _of(self, nodes: Iterable[node_def_pb2.NodeDef], place: _Nodes) -> tuple[set[str], set[str]]:
        """The float features that the nodes of a graph or a function parse, and the functions that they call."""
        floats: set[str] = set()
        called: set[str] = set()
        for node in nodes:
            floats.update(_find_floats(node, place))
            called.update(name for name in _find_functions(node) if name in self._functions)
        return floats, called


def _reachable(graph: _Nodes, outputs: Iterable[str]) -> Iterator[node_def_pb2.NodeDef]:
    """Yields the nodes on which the outputs depend."""
    waiting, seen = [_node_name(name) for name in outputs], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in graph:
            continue
        seen.add(name)
        yield graph[name]
        waiting += [_node_name(source) for source in graph[name].input]


def _node_name(tensor: str) -> str:
    """The name of the node in `^name`, `name:0`, or, within a function, `name:output:0`."""
    return tensor.removeprefix("^").partition(":")[0]


def _find_functions(node: node_def_pb2.NodeDef) -> Iterator[str]:
    yield node.op
    for attribute in node.attr.values():
        if attribute.WhichOneof("value") == "func":
            yield attribute.func.name
        elif attribute.WhichOneof("value") == "list":
            yield from (function.name for function in attribute.list.func)


def _find_floats(node: node_def_pb2.NodeDef, place: _Nodes) -> Iterator[str]:
    """The float features that an operation parses. TensorFlow's `parsing_ops.cc` defines its inputs and attributes."""
    sources = list(node.input)
    if node.op == "ParseExampleV2":
        keys = [_strings(place, source) for source in sources[2:5]]  # after the examples and their names
        dtypes = ("sparse_types", "Tdense", "ragged_value_types")
    elif node.op == "ParseExample":
        num_sparse = node.attr["Nsparse"].i
        ends = 2 + num_sparse, 2 + num_sparse + node.attr["Ndense"].i
        keys = [
            [key for source in part for key in _strings(place, source)]
            for part in (sources[2 : ends[0]], sources[ends[0] : ends[1]])
        ]
        dtypes = ("sparse_types", "Tdense", "")
    elif node.op == "ParseSingleExample":
        keys = [list(node.attr[name].list.s) for name in ("sparse_keys", "dense_keys")]
        dtypes = ("sparse_types", "Tdense", "")
    else:
        return
    for names, attribute in zip(keys, dtypes, strict=False):
        for name, dtype in zip(names, node.attr[attribute].list.type, strict=False):
            if dtype == types_pb2.DT_FLOAT:
                yield name.decode(errors="replace")


def _strings(place: _Nodes, source: str) -> list[bytes]:
    """The values of a string constant; empty if the source is not a constant."""
    node = place.get(_node_name(source))
    while node is not None and node.op == "Identity":
        node = place.get(_node_name(node.input[0]))
    if node is None or node.op != "Const":
        return []
    tensor = node.attr["value"].tensor
    number = int(np.prod([dim.size for dim in tensor.tensor_shape.dim], dtype=np.int64))
    values = list(tensor.string_val)
    return values + values[-1:] * (number - len(values)) if number <= _MAX_NAMES else []


#: The most names of one operation; a constant with one repeated value may claim any size.
_MAX_NAMES = 100_000
