"""Reads a served model's signatures from the server's metadata, and chooses the one for a request."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from serving.ranking_client.errors import RequestError
from serving.ranking_client.features import Candidates, Features, Kinds
from serving.ranking_client.protos import SignatureDefMap
from transform.signature_names import (
    ITEM_IDS,
    ITEMS_INPUT,
    RANK_ITEMS_SIGNATURE,
    RANK_NAMED_SIGNATURE,
    RANK_SIGNATURE,
    SERVING_SIGNATURE,
    TRANSFORM_SIGNATURE,
    TRANSFORMED_SUFFIX,
)

#: The metadata field of TF Serving that holds the signatures.
METADATA_FIELD = "signature_def"


@dataclasses.dataclass(frozen=True)
class ModelSignatures:
    """One version's signatures.

    Attributes:
      version: The version.
      names: The signatures' names.
      context_kinds: By context feature, its dtype, from the inputs of `rank_named`. Empty without that signature.
      lists: The context features that are lists, from the same inputs.
      outputs: By signature, the names of its outputs.
    """

    version: int
    names: frozenset[str]
    context_kinds: Kinds
    lists: frozenset[str] = frozenset()
    outputs: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, response: Any) -> ModelSignatures:
        """Reads a GetModelMetadata response."""
        signatures = SignatureDefMap.FromString(response.metadata[METADATA_FIELD].value)
        kinds, lists = {}, set()
        if RANK_NAMED_SIGNATURE in signatures.signature_def:
            inputs = signatures.signature_def[RANK_NAMED_SIGNATURE].inputs
            for name in inputs.keys() - {ITEM_IDS, ITEMS_INPUT}:
                kinds[name] = inputs[name].dtype
                if len(inputs[name].tensor_shape.dim) == 2:
                    lists.add(name)
        return cls(
            response.model_spec.version.value,
            frozenset(signatures.signature_def),
            kinds,
            frozenset(lists),
            {name: frozenset(signature.outputs) for name, signature in signatures.signature_def.items()},
        )

    def warnings(self, context: Features) -> list[str]:
        """Returns a sentence for each part of a context that the model does not read.

        The model ignores a feature that it does not have, such as a misspelt one. Of several values for a feature that
        is not a list, it reads the first. For a model without `rank_named` the list is empty.
        """
        if not self.context_kinds:
            return []
        known = sorted(self.context_kinds)
        found = [
            f"the model has no context feature {name[:100]!r} and ignores it; version {self.version} has {known}"
            for name in context
            if name not in self.context_kinds
        ]
        for name, value in context.items():
            if not isinstance(value, list | tuple) or len(value) < 2:
                continue
            if name in self.context_kinds and name not in self.lists:
                rule = f"feature {name!r} of the context must have one value; the model reads the first"
                found.append(f"{rule}. Received: {len(value):,} values")
        return found

    def item_warnings(self, names: Collection[str]) -> list[str]:
        """Returns a sentence for each name that is no item feature of the model, which ignores it.

        The model's features are the outputs of `transform_features`, beside which are those of crosses; without that
        signature the list is empty.
        """
        outputs = self.outputs.get(TRANSFORM_SIGNATURE)
        if not names or not outputs:
            return []
        known = {output.partition("/")[0].removesuffix(TRANSFORMED_SUFFIX) for output in outputs}
        return [
            f"the model has no item feature {name[:100]!r} and ignores it (version {self.version})"
            for name in sorted(names)
            if name not in known or name in self.context_kinds
        ]

    def signature_for(self, candidates: Candidates) -> str:
        """Returns the signature that ranks the candidates.

        If every candidate has features, that is `rank_items`, or without it `serving_default`, which scores one example
        per candidate. If only some have features, it is `rank_items`; if none has, `rank`. Both need a model with
        `rank`; a model without it needs every candidate's features.

        Raises:
          RequestError: If the model has no signature for these candidates.
        """
        has_rank, num_without = RANK_SIGNATURE in self.names, candidates.items.count(b"")
        usable: tuple[str, ...] = ()
        if num_without == 0:
            usable = (RANK_ITEMS_SIGNATURE, SERVING_SIGNATURE)
        elif has_rank:
            usable = (RANK_SIGNATURE if num_without == len(candidates.ids) else RANK_ITEMS_SIGNATURE,)
        for name in usable:
            if name in self.names:
                return name
        missing = RANK_ITEMS_SIGNATURE if has_rank else RANK_SIGNATURE
        raise RequestError(
            f"a model without the signature `{missing}` needs the item features of every candidate. Received: none for "
            f"{num_without} of {len(candidates.ids)}, and a model with {sorted(self.names)}"
        )
