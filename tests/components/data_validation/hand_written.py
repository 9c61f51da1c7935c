"""Hand-written evidence of days, and what the data gate decides on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from components.data_validation.decision import decide
from components.data_validation.distributions import measure_tokens
from components.data_validation.evidence import Labelled, ModelEvidence, SpanEvidence
from components.ingestion.evidence import Evidence, File, InstallEvidence, LabelCount, Log
from transform.config.drift import Drift

DAY = 86_400


def sketch_of(number: int) -> tuple[int, ...]:
    """Returns the hashes of 60 rows that no other of a thousand days has."""
    return tuple(range(number, number + 60_000, 1000))


def span(
    number: int,
    *,
    rows: int = 10_000,
    positives: int = 700,
    predicted: float | None = None,
    auc: float = 0.7,
    orphans: int = 100,
    **more: Any,
) -> SpanEvidence:
    """Returns a day's evidence; without `predicted`, the baseline predicts a share of label 1 of 7 %."""
    ingested: dict[str, Any] = {
        "files": (File("impressions", f"day-{number}.csv", f"sum {number}", rows),),
        "logs": {"impressions": Log(sketch_of(number), tuple(DAY * (number + q) for q in (0.01, 0.5, 0.99)))},
        "installs": InstallEvidence(attributed=positives, without_impression=orphans),
        "labels": LabelCount(rows - positives, positives),
    }
    ingested |= {key: more.pop(key) for key in list(more) if key in Evidence.__dataclass_fields__}
    whole = Labelled(rows, positives, 700 * rows / 10_000 if predicted is None else predicted)
    evidence = SpanEvidence(
        ingested=Evidence(span=number, **ingested),
        num_requests=rows // 10,
        label_version=1,
        label_recipe="a",
        features={"country": measure_tokens({"de": 80, "fr": 20}, 0, 1000)},
        model=ModelEvidence(whole, auc),
    )
    return dataclasses.replace(evidence, **more)


def good(number: int) -> list[SpanEvidence]:
    """Returns days whose share of label 1 varies by a few per cent, like that of real days."""
    return [span(n, positives=700 + 15 * (n % 3 - 1)) for n in range(1, number + 1)]


def stops(current: SpanEvidence, earlier: Sequence[SpanEvidence], **settings: Any) -> list[str]:
    """Returns the rules that stop a day, with the given bounds and the defaults of the others."""
    return [f.rule for f in decide(current, earlier, Drift(**settings)) if f.severity == "stop"]
