"""What signatures a served model has, from the server's metadata, and which one answers a request."""

from __future__ import annotations

import dataclasses

from tensorflow_serving.apis import get_model_metadata_pb2

from serving.ranking.candidates import Candidates
from serving.ranking.errors import RequestError
from serving.ranking.features import Kinds
from transform.signature_names import (
    ITEM_IDS,
    ITEMS_INPUT,
    RANK_ITEMS_SIGNATURE,
    RANK_NAMED_SIGNATURE,
    RANK_SIGNATURE,
    SERVING_SIGNATURE,
)

#: The field of a model's metadata that TF Serving has.
METADATA_FIELD = "signature_def"


@dataclasses.dataclass(frozen=True)
class ModelSignatures:
    """One version's signatures.

    Attributes:
      version: The version.
      names: Their names.
      context_kinds: By context feature, its kind: what the inputs of `rank_named` are. Empty without that signature.
    """

    version: int
    names: frozenset[str]
    context_kinds: Kinds

    @classmethod
    def of(cls, response: get_model_metadata_pb2.GetModelMetadataResponse) -> ModelSignatures:
        """Reads the answer to GetModelMetadata."""
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[METADATA_FIELD].Unpack(signatures)
        kinds = {}
        if RANK_NAMED_SIGNATURE in signatures.signature_def:
            inputs = signatures.signature_def[RANK_NAMED_SIGNATURE].inputs
            kinds = {name: inputs[name].dtype for name in inputs if name not in (ITEM_IDS, ITEMS_INPUT)}
        return cls(response.model_spec.version.value, frozenset(signatures.signature_def), kinds)

    def signature_for(self, candidates: Candidates) -> str:
        """The signature that ranks the candidates.

        `rank` if the caller gave no item features, `rank_items` if there are some. A model that has not the one that is
        needed scores an example per candidate, if the caller gave every candidate's features.

        Raises:
          RequestError: If features are missing for that.
        """
        wanted = RANK_ITEMS_SIGNATURE if any(candidates.items) else RANK_SIGNATURE
        if wanted in self.names:
            return wanted
        if all(candidates.items) and SERVING_SIGNATURE in self.names:
            return SERVING_SIGNATURE
        raise RequestError(
            f"a model without the signature `{wanted}` needs the item features of every candidate. Received: none for "
            f"{candidates.items.count(b'')} of {len(candidates.ids)}, and a model with {sorted(self.names)}"
        )
