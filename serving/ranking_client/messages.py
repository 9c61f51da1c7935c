"""Converts to and from TF Serving's messages: builds PredictRequests, and reads PredictResponses."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence, Sized
from typing import Any, TypeVar

import grpc

from serving.ranking_client.errors import RankingError, RequestError
from serving.ranking_client.features import Candidates, encode_example
from serving.ranking_client.protos import (
    DT_STRING,
    Dim,
    GetModelMetadataRequest,
    ModelSpec,
    PredictRequest,
    TensorProto,
    TensorShapeProto,
)
from serving.ranking_client.ranked import RankedItem
from serving.ranking_client.settings import ClientSettings
from serving.ranking_client.signatures import METADATA_FIELD
from transform.signature_names import (
    CATALOG_DIGEST_OUTPUT,
    CONTEXT_INPUT,
    DEEP_LOGITS_OUTPUT,
    EXAMPLES_INPUT,
    IN_CATALOG_OUTPUT,
    ITEM_IDS,
    ITEMS_INPUT,
    RANK_ITEMS_SIGNATURE,
    SCORES_OUTPUT,
    SERVING_SIGNATURE,
    UNKNOWN_CONTEXT_OUTPUT,
    WIDE_LOGITS_OUTPUT,
)

Values = TypeVar("Values", bound=Sized)

#: The size of a float32.
_FLOAT_BYTES = 4

_LOGITS = (WIDE_LOGITS_OUTPUT, DEEP_LOGITS_OUTPUT)


def string_tensor(values: Sequence[bytes], shape: Sequence[int]) -> Any:
    """A string tensor, a TensorProto."""
    dims = [Dim(size=size) for size in shape]
    return TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(dim=dims), string_val=values)


def metadata_request(settings: ClientSettings) -> Any:
    """Makes a GetModelMetadataRequest for the model's signatures."""
    return GetModelMetadataRequest(model_spec=_model_spec(settings), metadata_field=[METADATA_FIELD])


def predict_request(
    settings: ClientSettings,
    signature: str,
    context: bytes,
    part: Candidates,
    logits: bool,
    further_outputs: Sequence[str] = (),
) -> Any:
    """Makes the PredictRequest for one part: `serving_default` returns scores, the other signatures rank.

    Args:
      settings: The model, and the limits.
      signature: The signature to call.
      context: The context's serialized tf.Example.
      part: The candidates.
      logits: Ask for the wide and deep logits too.
      further_outputs: Outputs to ask for that not every model has; the signature must have them.

    Raises:
      RequestError: If it is too long, or logits are asked of `serving_default`, which has none.
    """
    number = len(part.ids)
    request = PredictRequest(model_spec=_model_spec(settings, signature))
    if signature == SERVING_SIGNATURE:
        if logits:
            raise RequestError(f"logits must be asked of a model with the signature `rank`. Received: `{signature}`")
        # Concatenating two serialized messages merges them: the result has the fields of both.
        examples = [
            context + item + _id_example(settings, item_id) for item_id, item in zip(part.ids, part.items, strict=True)
        ]
        request.inputs[EXAMPLES_INPUT].CopyFrom(string_tensor(examples, [number]))
        request.output_filter.append(SCORES_OUTPUT)
    else:
        request.inputs[CONTEXT_INPUT].CopyFrom(string_tensor([context], [1]))
        request.inputs[ITEM_IDS].CopyFrom(string_tensor(part.ids, [1, number]))
        if signature == RANK_ITEMS_SIGNATURE:
            request.inputs[ITEMS_INPUT].CopyFrom(string_tensor(part.items, [1, number]))
        request.output_filter.extend([ITEM_IDS, SCORES_OUTPUT, *(_LOGITS if logits else ()), *further_outputs])
    if request.ByteSize() > settings.max_request_bytes:
        raise RequestError(
            f"a call must have at most {settings.max_request_bytes:,} bytes. Received: {request.ByteSize():,} for "
            f"{number:,} candidates"
        )
    return request


def _model_spec(settings: ClientSettings, signature: str = "") -> Any:
    spec = ModelSpec(name=settings.model, signature_name=signature)
    if settings.version is not None:
        spec.version.value = settings.version
    elif settings.label is not None:
        spec.version_label = settings.label
    return spec


def _id_example(settings: ClientSettings, item_id: bytes) -> bytes:
    if settings.item_id_feature is None:
        return b""
    return encode_example({settings.item_id_feature: item_id}, "the item id", settings.max_example_bytes)


def read_ranking(response: Any, signature: str, part: Candidates) -> list[RankedItem]:
    """Reads one part's ranked items from a response.

    Args:
      response: The response to a `predict_request`.
      signature: The signature that answered.
      part: The part.

    Returns:
      The items, best first.

    Raises:
      RankingError: If their number differs from the candidates', an output is missing, or a score is not finite.
    """
    number = len(part.ids)
    scores = _checked(read_floats(response, SCORES_OUTPUT), SCORES_OUTPUT, number)
    if not all(map(math.isfinite, scores)):
        raise _bad_answer(f"scores must be numbers. Received: {next(s for s in scores if not math.isfinite(s))}")
    if signature == SERVING_SIGNATURE:
        order = sorted(range(number), key=lambda i: -scores[i])
        return [RankedItem(part.ids[i].decode(), scores[i]) for i in order]
    ids = [item_id.decode() for item_id in _checked(output(response, ITEM_IDS).string_val, ITEM_IDS, number)]
    nothing: list[None] = [None] * number
    wide: Sequence[float | None] = nothing
    deep: Sequence[float | None] = nothing
    in_catalog: Sequence[bool | None] = nothing
    if WIDE_LOGITS_OUTPUT in response.outputs:
        wide, deep = (_checked(read_floats(response, name), name, number) for name in _LOGITS)
    if IN_CATALOG_OUTPUT in response.outputs:
        in_catalog = _bools(response, IN_CATALOG_OUTPUT, number)
    return list(map(RankedItem, ids, scores, wide, deep, in_catalog))


def read_unknown_context(response: Any) -> list[str]:
    """Returns the names of the context features whose value is unknown to the model, as far as the response says."""
    if UNKNOWN_CONTEXT_OUTPUT not in response.outputs:
        return []
    return [name.decode() for text in response.outputs[UNKNOWN_CONTEXT_OUTPUT].string_val for name in text.split()]


def read_catalog_digest(response: Any) -> str:
    """Returns the digest of the catalog that the model has; empty if the response does not say it."""
    if CATALOG_DIGEST_OUTPUT not in response.outputs:
        return ""
    digest: str = output(response, CATALOG_DIGEST_OUTPUT).string_val[0].decode()
    return digest


def output(response: Any, name: str) -> Any:
    """Returns an output of a PredictResponse, a TensorProto; raises RankingError if it is missing."""
    if name not in response.outputs:
        raise _bad_answer(f"an answer must have the output `{name}`. Received: {sorted(response.outputs)}")
    return response.outputs[name]


def read_floats(response: Any, name: str) -> list[float]:
    """Returns an output's float32 values, which a server may send packed in `tensor_content` or in `float_val`.

    Raises:
      RankingError: If the output is missing, or its bytes are not those of float32 values.
    """
    tensor = output(response, name)
    content = tensor.tensor_content
    if len(content) % _FLOAT_BYTES:
        raise _bad_answer(f"`{name}` must have {_FLOAT_BYTES} bytes a value. Received: {len(content):,} bytes")
    packed = struct.unpack(f"<{len(content) // _FLOAT_BYTES}f", content)
    return list(packed or tensor.float_val)


def _bools(response: Any, name: str, number: int) -> list[bool]:
    """An output's booleans, which a server may send packed in `tensor_content` or in `bool_val`."""
    tensor = output(response, name)
    return _checked([byte != 0 for byte in tensor.tensor_content] or list(tensor.bool_val), name, number)


def _checked(values: Values, name: str, number: int) -> Values:
    if len(values) != number:
        raise _bad_answer(f"`{name}` must have a value a candidate, {number:,}. Received: {len(values):,}")
    return values


def _bad_answer(text: str) -> RankingError:
    return RankingError(grpc.StatusCode.INTERNAL, text)
