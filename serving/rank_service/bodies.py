"""The HTTP service's JSON bodies; its OpenAPI page shows them."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

from serving.ranking_client.ranked import Ranking

# Pydantic makes an error of 1 kB of each mistake, and a body of 4 MB can have millions. So a list is refused at its
# first mistake (`fail_fast`), and an object with too many keys before its values are validated.

_MAX_FEATURES = 1_000
_MAX_VALUES = 10_000

#: Bounds the memory of one body. The setting of the client, `max_candidates`, is usually the lower limit.
_MAX_CANDIDATES = 100_000

#: More than any object of the schema has.
_MAX_KEYS = 100

#: The largest float32, in decimal digits that do not round up.
_MAX_NUMBER = 3.4028234e38

_Text: TypeAlias = Annotated[str, Field(max_length=10_000)]
_Integer: TypeAlias = Annotated[int, Field(ge=-(2**63), lt=2**63, strict=True)]
_Number: TypeAlias = _Integer | Annotated[float, Field(ge=-_MAX_NUMBER, le=_MAX_NUMBER, strict=True)]
_Numbers: TypeAlias = Annotated[list[_Number], Field(max_length=_MAX_VALUES, fail_fast=True)]
_Texts: TypeAlias = Annotated[list[_Text], Field(max_length=_MAX_VALUES, fail_fast=True)]


def _bounded(value: Any, what: str, most: int) -> Any:
    if isinstance(value, dict) and len(value) > most:
        raise PydanticKnownError("too_long", {"field_type": what, "max_length": most, "actual_length": len(value)})
    return value


FeatureValues: TypeAlias = Annotated[
    dict[str, _Number | _Text | _Numbers | _Texts | None],
    Field(max_length=_MAX_FEATURES),
    BeforeValidator(lambda value: _bounded(value, "Dictionary", _MAX_FEATURES)),  # pydantic's check is its last
]
#: 250 characters have at most 1,000 bytes in UTF-8, the client's limit.
ItemId: TypeAlias = Annotated[str, Field(min_length=1, max_length=250)]


def _whole(value: Any) -> Any:
    """Turns 10.0 into 10, since JSON does not distinguish them."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_K: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000, strict=True), BeforeValidator(_whole)]


class Strict(BaseModel):
    """An object of a request, without further keys."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _bound(cls, value: Any) -> Any:
        return _bounded(value, "Object", _MAX_KEYS)


class NewItem(Strict):
    """A candidate that the model's catalog does not have yet, or has with other features."""

    id: ItemId
    features: FeatureValues = Field(
        default_factory=dict, description="By name, a text, a number, a list of either, or null."
    )


class RankRequest(Strict):
    """One request's context and candidates."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "context": {
                        "country": "us",
                        "hour": 20,
                        "account_age_days": 31.5,
                        "installed_apps": ["com.store.app1"],
                    },
                    "candidates": [
                        "com.store.app2",
                        {"id": "com.store.app900", "features": {"category": "games", "price": 0.99}},
                    ],
                    "k": 10,
                }
            ]
        },
    )

    context: FeatureValues = Field(description="By name, a text, a number, a list of either, or null.")
    candidates: list[ItemId | NewItem] = Field(
        min_length=1,
        max_length=_MAX_CANDIDATES,
        fail_fast=True,
        description="Item ids, or new items with their features.",
    )
    k: _K | None = Field(None, description="Return the best k; null: all.")
    logits: bool = Field(False, strict=True, description="Return the wide and deep logits too.")
    explain: bool = Field(
        False, strict=True, description="Return what the scores of the best k consist of; at most 100 items."
    )

    user: str = Field("", max_length=250, description="The user's key, for the serving log; the model does not get it.")

    def pairs(self) -> list[str | tuple[str, FeatureValues]]:
        """The candidates in the form that the client takes."""
        return [c if isinstance(c, str) else (c.id, c.features) for c in self.candidates]


class ExplainedValue(BaseModel):
    """What one value adds to an item's logit."""

    feature: str = Field(description="The feature, the count, or the cross as its features' names.")
    value: str
    logit: float


class ItemExplanation(BaseModel):
    """What an item's logit consists of: bias + the sum of `wide` + deep_logit."""

    base_rate: float = Field(description="sigmoid(bias + deep_baseline_logit).")
    bias: float
    wide: list[ExplainedValue] = Field(description="The weights that are not zero, the strongest first.")
    deep_logit: float = Field(description="deep_baseline_logit + the sum of `deep` + gap.")
    deep_baseline_logit: float = Field(description="The deep logit of zero embeddings and median numbers.")
    deep: list[ExplainedValue] = Field(description="Each feature's attribution, by integrated gradients.")
    gap: float = Field(description="What the attributions do not account for.")


class ScoredItem(BaseModel):
    """A candidate with its score."""

    id: str
    score: float
    wide_logit: float | None = None
    deep_logit: float | None = None
    in_catalog: bool | None = Field(
        None, description="Whether the model's catalog has the item; absent if the model has no such output."
    )
    explanation: ItemExplanation | None = None


class RankResponse(BaseModel):
    """The ranking."""

    model: str
    version: int = Field(description="The model's version; all candidates were scored by it.")
    items: list[ScoredItem] = Field(
        description="The candidates, best first; with exploration, as they are to be shown."
    )
    request_id: str | None = Field(
        None, description="The request's id in the serving log, which events name; absent without a log."
    )
    warnings: list[str] | None = Field(
        None,
        description="One sentence for each part of the request that the model ignores, and for each value of the "
        "context that it does not know. Such a value is named by the first ranking only, and ten values of a feature "
        "at most.",
    )

    @classmethod
    def of(cls, ranking: Ranking) -> RankResponse:
        """Makes the response body of a ranking."""
        explanations: list[ItemExplanation | None] = [
            ItemExplanation.model_validate(explanation, from_attributes=True) for explanation in ranking.explanations
        ]
        explanations = explanations or [None] * len(ranking.items)
        items = [
            ScoredItem.model_construct(
                id=item.item_id,
                score=item.score,
                wide_logit=item.wide_logit,
                deep_logit=item.deep_logit,
                in_catalog=item.in_catalog,
                explanation=explanation,
            )
            for item, explanation in zip(ranking.items, explanations, strict=True)
        ]
        warnings = list(ranking.warnings) or None
        return cls.model_construct(
            model=ranking.model,
            version=ranking.version,
            items=items,
            request_id=ranking.request_id,
            warnings=warnings,
        )


class Problem(BaseModel):
    """Why there is no ranking, in one sentence."""

    error: str


class Health(BaseModel):
    """The state of the service; for readiness, with the version of the model that answers."""

    status: str
    version: int | None = None
