"""Requests for a load test: a pushed version's warm-up requests, or those of a JSONL file."""

from __future__ import annotations

import dataclasses
import glob
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from google.protobuf.message import DecodeError
from pydantic import ValidationError
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving.rank_service.bodies import RankRequest
from serving.ranking_client.features import Candidate, Features
from transform.errors import InputError
from transform.example_keys import TABLE_KEY
from transform.files.tfrecords import read_records
from transform.files.version_layout import CATALOG_FOLDER, EXTRA_ASSETS, WARMUP_FILE
from transform.signature_names import CONTEXT_INPUT, EXAMPLES_INPUT, ITEM_IDS, ITEMS_INPUT, RANK_SIGNATURE

#: A request's context and candidates.
Request: TypeAlias = tuple[Features | bytes, Sequence[Candidate]]


@dataclasses.dataclass(frozen=True)
class Recorded:
    """Recorded requests, from which a load test draws: their contexts, and all candidates, each once."""

    contexts: Sequence[Features | bytes]
    candidates: Sequence[Candidate]

    def requests(self, num_candidates: int, seed: int = 1) -> Iterator[Request]:
        """Draws requests endlessly: cycles through the contexts, each with randomly drawn candidates."""
        rng = random.Random(seed)  # noqa: S311
        draw = rng.sample if num_candidates <= len(self.candidates) else rng.choices
        while True:
            for context in self.contexts:
                yield context, draw(self.candidates, k=num_candidates)


def read_recorded(path: str) -> Recorded:
    """Reads recorded requests.

    Args:
      path: A pushed version, or a JSONL file with one `/rank` body per line.

    Returns:
      The contexts and the candidates. A version's contexts may be whole examples, of which `rank` reads only the
      context features. A version's candidates are its catalog, or, if that is not a single table, the items of its
      warm-up requests. For a model without `rank`, they are the items of its warm-up requests, with their features.

    Raises:
      InputError: If there are no contexts or no candidates, or they cannot be read.
    """
    found = _of_version(path) if os.path.isdir(path) else _from_jsonl(path)
    if not found.contexts or not found.candidates:
        raise InputError(
            f"requests must have contexts and candidates. Received: {len(found.contexts)} and "
            f"{len(found.candidates)} ({path})"
        )
    return found


def _from_jsonl(path: str) -> Recorded:
    contexts: list[Features | bytes] = []
    candidates: dict[str, Candidate] = {}
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                body = RankRequest.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                raise InputError(f"{where}: {first['msg']} (line {number} of {path})") from error
            contexts.append(body.context)
            candidates |= {c if isinstance(c, str) else c[0]: c for c in body.pairs()}
    return Recorded(contexts, list(candidates.values()))


def _of_version(path: str) -> Recorded:
    contexts: dict[bytes, None] = {}
    ids: dict[bytes, None] = {}
    items: dict[bytes, bytes] = {}
    has_rank = False
    for record in read_records(os.path.join(path, EXTRA_ASSETS, WARMUP_FILE)):
        try:
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        except DecodeError as error:
            raise InputError(f"warm-up requests must be PredictionLogs. Received: {error} ({path})") from error
        inputs = request.inputs
        has_rank |= request.model_spec.signature_name == RANK_SIGNATURE
        if ITEMS_INPUT in inputs:
            items |= zip(inputs[ITEM_IDS].string_val, inputs[ITEMS_INPUT].string_val, strict=True)
        for name, values in ((CONTEXT_INPUT, contexts), (EXAMPLES_INPUT, contexts), (ITEM_IDS, ids)):
            if name in inputs:
                values |= dict.fromkeys(inputs[name].string_val)
    if items and not has_rank:  # the model's catalog lacks item features, so each candidate must bring its own
        return Recorded(list(contexts), [(item_id.decode(), item) for item_id, item in items.items()])
    ids.pop(b"", None)
    # Candidates drawn from the whole catalog are spread over the memory as they are in production.
    candidates = list(read_catalog(path)) if len(_tables(path)) == 1 else [item_id.decode() for item_id in ids]
    return Recorded(list(contexts), candidates)


def read_catalog(path: str) -> dict[str, bytes]:
    """Reads a pushed version's catalog: by item id, the item features, as a serialized tf.Example.

    Raises:
      InputError: If there is not exactly one table, or it cannot be read.
    """
    if len(_tables(path)) != 1:
        raise InputError(f"a version's catalog must be one table. Received: {_tables(path)} ({path})")
    items = {}
    for file in sorted(glob.glob(os.path.join(_tables(path)[0], "*"))):
        for record in read_records(file):
            example = example_pb2.Example.FromString(record)
            key = example.features.feature.pop(TABLE_KEY).bytes_list.value[0].decode()
            items[key] = example.SerializeToString()
    return items


def _tables(path: str) -> list[str]:
    return sorted(glob.glob(os.path.join(path, EXTRA_ASSETS, CATALOG_FOLDER, "*")))
