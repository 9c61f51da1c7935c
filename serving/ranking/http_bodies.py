"""The JSON of the HTTP service; what its OpenAPI page shows."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from serving.ranking.ranked import Ranking

_MAX_FEATURES = 1_000
_MAX_VALUES = 10_000

_Text: TypeAlias = Annotated[str, Field(max_length=10_000)]
_Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False, strict=True)]
_Scalar: TypeAlias = Annotated[int, Field(strict=True)] | _Number | _Text
_Value: TypeAlias = _Scalar | Annotated[list[_Scalar], Field(max_length=_MAX_VALUES)] | None
FeatureValues: TypeAlias = Annotated[dict[str, _Value], Field(max_length=_MAX_FEATURES)]
ItemId: TypeAlias = Annotated[str, Field(min_length=1, max_length=1_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewItem(_Strict):
    """A candidate that the model's catalog does not have yet, or has with other features."""

    id: ItemId
    features: FeatureValues = Field(description="By name, a text, a number, a list of either, or null.")


class RankRequest(_Strict):
    """One request's context and candidates."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "context": {"country": "US", "hour": 20, "account_age_days": 31.5, "installed_apps": ["app_1"]},
                    "candidates": ["app_2", {"id": "app_900", "features": {"category": "games", "price": 0.99}}],
                    "k": 10,
                }
            ]
        },
    )

    context: FeatureValues = Field(description="By name, a text, a number, a list of either, or null.")
    candidates: list[ItemId | NewItem] = Field(min_length=1, description="Item ids, or new items with their features.")
    k: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(None, description="Return the best k; null: all.")
    logits: bool = Field(False, description="Return the wide and deep logits too.")

    def pairs(self) -> list[str | tuple[str, FeatureValues]]:
        """The candidates as the client takes them."""
        return [c if isinstance(c, str) else (c.id, c.features) for c in self.candidates]


class ScoredItem(BaseModel):
    """A candidate in its place."""

    id: str
    score: float
    wide_logit: float | None = None
    deep_logit: float | None = None


class RankResponse(BaseModel):
    """The ranking."""

    model: str
    version: int = Field(description="The model's version; all candidates were scored by it.")
    items: list[ScoredItem] = Field(description="The candidates, best first.")

    @classmethod
    def of(cls, ranking: Ranking) -> RankResponse:
        """Makes the JSON of a ranking."""
        items = [
            ScoredItem.model_construct(
                id=item.item_id, score=item.score, wide_logit=item.wide_logit, deep_logit=item.deep_logit
            )
            for item in ranking.items
        ]
        return cls.model_construct(model=ranking.model, version=ranking.version, items=items)


class Problem(BaseModel):
    """Why there is no ranking, in one sentence."""

    error: str


class Health(BaseModel):
    """The service is there, or, of readiness, the model that answers."""

    status: str
    version: int | None = None
