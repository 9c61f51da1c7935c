"""Remembers the vocabularies' tokens of earlier spans: a token that a window lacks keeps its row while it may return.

A window of two days has two weekdays. Without the memory, the other five would lose their rows, and what these have
learned, every week.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
import os
from collections.abc import Iterable, Mapping
from typing import Literal

import tensorflow as tf
from pydantic import TypeAdapter, ValidationError

from transform.errors import InputError
from transform.feature import MEMORY_SPANS
from transform.feature_spec import FeatureSpec

#: The file in a VocabularyMemory artifact.
MEMORY_FILE = "memory.json"

#: A counted cross without `max_size` remembers at most this many combinations.
MAX_REMEMBERED_COMBINATIONS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Rule:
    """How long a vocabulary remembers a token, and how many tokens it remembers at most.

    Attributes:
      spans: A token is remembered for this many spans after the last span that had it; at least 1.
      size: The maximum number of remembered tokens, those with the highest decayed counts; None remembers all.
    """

    spans: int
    size: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """The record of one token.

    Attributes:
      count: How often training examples had the token; each span's count is halved every `Rule.spans` / 2 spans.
      last_span: The last span that had the token.
    """

    count: float
    last_span: int


@dataclasses.dataclass(frozen=True)
class Memory:
    """The records of all vocabularies.

    Attributes:
      span: The last counted span, to which the counts are decayed.
      vocabularies: Each token's record, by the name of the feature or cross.
      derived: By the name of a vocabulary with derived features: what their tokens stand for
        (`FeatureSpec.derived_among`).
    """

    span: int
    vocabularies: Mapping[str, Mapping[bytes, Seen]]
    derived: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)

    def seen(self, name: str, spec: FeatureSpec) -> Mapping[bytes, Seen]:
        """The records of a vocabulary; none if its tokens stood for something else, such as months that are days now.

        A feature that shares the vocabulary now, or no longer, changes nothing if its tokens have the same meaning.

        Args:
          name: The vocabulary's name.
          spec: The current features.
        """
        return self.vocabularies[name] if self.knows(name, spec) else {}

    def knows(self, name: str, spec: FeatureSpec) -> bool:
        """Whether there are records of a vocabulary, maybe of no token, and its tokens stand for the same as now."""
        before, now = self.derived.get(name, {}), spec.derived_among(name)
        is_same = {*before.values()} == {*now.values()} and all(before[f] == now[f] for f in before.keys() & now.keys())
        return name in self.vocabularies and is_same


def rules(spec: FeatureSpec) -> dict[str, Rule]:
    """The rules of all vocabularies that have a memory, by name.

    A cross with a numeric feature has none: its keys contain quantile numbers, which represent other values in another
    window.
    """
    found = {name: Rule(v.memory_spans, v.max_size) for name, v in spec.vocabularies.items()}
    for cross in spec.crosses:
        if cross.num_hash_buckets is None and all(spec.by_name[name].has_ids for name in cross.features):
            spans = MEMORY_SPANS if cross.memory_spans is None else cross.memory_spans
            found[cross.name] = Rule(spans, cross.max_size or MAX_REMEMBERED_COMBINATIONS)
    return {name: rule for name, rule in found.items() if rule.spans > 0}


def uncounted(memory: Memory | None, spec: FeatureSpec, span: int) -> list[str]:
    """The vocabularies whose tokens in a span's training examples are to be counted.

    They are all if the span is later than the memory. Of a span that it has counted, they are those that it does not
    know, such as a new feature's.

    Args:
      memory: The memory after an earlier span; None if there is none.
      spec: The current features.
      span: A span of the window.
    """
    is_new = memory is None or span > memory.span
    return [name for name in rules(spec) if is_new or (memory is not None and not memory.knows(name, spec))]


def earlier_tokens(memory: Memory, spec: FeatureSpec, span: int) -> dict[str, list[bytes]]:
    """The tokens that get rows in a span's vocabularies although its window may lack them.

    Args:
      memory: The memory after an earlier span.
      spec: The current features.
      span: The run's span.

    Returns:
      The tokens by vocabulary, highest counts first; a vocabulary without remembered tokens is left out.
    """
    tokens = {}
    for name, rule in rules(spec).items():
        kept = _kept(memory.seen(name, spec), rule, span)
        if kept:
            tokens[name] = list(kept)
    return tokens


def updated(
    memory: Memory | None, counts: Mapping[int, Mapping[str, Iterable[tuple[bytes, int]]]], spec: FeatureSpec, span: int
) -> Memory:
    """Returns the memory after a run.

    Args:
      memory: The memory after an earlier span; None if there is none.
      counts: The tokens of a span's training examples and how often each occurs, by span and vocabulary, for what
        `uncounted` names; read once. The last span is the run's.
      spec: The features.
      span: The run's span.

    Returns:
      The memory, without forgotten tokens. For example, a token seen 8 times in span 3 and twice in span 5, with a
      memory of 4 spans, has the count 8 / 2 + 2 = 6 after span 5.
    """
    vocabularies = {}
    for name, rule in rules(spec).items():
        seen: dict[bytes, Seen] = {}
        if memory is not None:
            for token, s in memory.seen(name, spec).items():
                seen[token] = Seen(_decayed(s.count, rule, span - memory.span), s.last_span)
        for counted_span, of_vocabularies in sorted(counts.items()):
            for token, count in of_vocabularies.get(name, ()):
                before = seen[token].count if token in seen else 0.0
                seen[token] = Seen(before + _decayed(count, rule, span - counted_span), counted_span)
        vocabularies[name] = _kept(seen, rule, span + 1)
    derived = {name: meanings for name in vocabularies if (meanings := spec.derived_among(name))}
    return Memory(span, vocabularies, derived)


def _decayed(count: float, rule: Rule, num_spans: int) -> float:
    return count * math.exp2(-2 * num_spans / rule.spans)


def _kept(seen: Mapping[bytes, Seen], rule: Rule, span: int) -> dict[bytes, Seen]:
    """The tokens, seen in earlier spans, that a vocabulary still remembers in a span; highest counts first."""
    recent = [(s.count, token) for token, s in seen.items() if span - s.last_span <= rule.spans]
    size = len(recent) if rule.size is None else rule.size
    return {token: seen[token] for _, token in heapq.nlargest(size, recent)}


@dataclasses.dataclass(frozen=True)
class _Vocabulary:
    tokens: list[str]
    counts: list[float]
    last_spans: list[int]


@dataclasses.dataclass(frozen=True)
class _File:
    """`Memory` as JSON; a token's text has one character, U+0000 to U+00FF, per byte."""

    schema_version: Literal[1]
    span: int
    vocabularies: dict[str, _Vocabulary]
    #: Left out by releases without `derive`, which ignore it.
    derived: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)


_FILE = TypeAdapter(_File)


def write_vocabulary_state(memory: Memory, directory: str) -> None:
    """Writes `MEMORY_FILE` into an existing folder."""
    vocabularies = {
        name: _Vocabulary(
            [token.decode("latin-1") for token in seen],
            [s.count for s in seen.values()],
            [s.last_span for s in seen.values()],
        )
        for name, seen in memory.vocabularies.items()
    }
    with tf.io.gfile.GFile(os.path.join(directory, MEMORY_FILE), "wb") as file:
        derived = {name: dict(meanings) for name, meanings in memory.derived.items()}
        file.write(_FILE.dump_json(_File(1, memory.span, vocabularies, derived)))


def read_vocabulary_state(directory: str) -> Memory:
    """Reads what `write_vocabulary_state` wrote.

    Raises:
      InputError: If the file is missing, damaged or of another schema version.
    """
    path = os.path.join(directory, MEMORY_FILE)
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = _FILE.validate_json(file.read())
    except (tf.errors.OpError, ValidationError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.message
        raise InputError(f"the vocabularies' memory must be readable. Received: {why} ({path})") from error
    vocabularies = {
        name: {
            token.encode("latin-1"): Seen(count, last_span)
            for token, count, last_span in zip(v.tokens, v.counts, v.last_spans, strict=True)
        }
        for name, v in content.vocabularies.items()
    }
    return Memory(content.span, vocabularies, content.derived)
