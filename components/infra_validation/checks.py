"""What any exported model must do: have its signatures, give probabilities, rank by the catalog, explain itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from components.infra_validation.model_process import ModelProcess
from components.infra_validation.process import DryRunError
from components.infra_validation.ranked import RankingRequests
from components.infra_validation.skew import TOLERANCE, compare_from_catalog
from components.infra_validation.verdict import Comparison
from transform.config.component_settings import InfraSettings
from transform.ranking import RANKING_SIGNATURES, absent_signatures
from transform.signature_names import EXPLAIN_ITEMS_SIGNATURE, EXPLAIN_SIGNATURE

#: The rows that each explaining signature explains: a row takes a hundred times as long as its score.
_NUM_EXPLAINED = 20


def check_signatures(subject: ModelProcess, config: InfraSettings) -> None:
    """Raises DryRunError if the model lacks a ranking signature that its config requires, or has an excluded one."""
    absent = absent_signatures(config)
    for name in RANKING_SIGNATURES:
        if name not in absent and name not in subject.signatures:
            found = sorted(subject.signatures)
            raise DryRunError(f"the model must have the signature {name!r}. Received: {found}")
        if name in absent and name in subject.signatures:
            raise DryRunError(f"the model must not have the signature {name!r}, since {absent[name]}")


def compare_rankings(subject: ModelProcess, requests: RankingRequests) -> Iterator[tuple[str, Comparison]]:
    """Yields, for each ranking signature, the comparison with `serving_default`'s scores of whole examples."""
    is_candidate = np.array([item_id != b"" for item_id in requests.item_ids], bool)
    expected = np.zeros(len(requests.rows), np.float32)
    expected[is_candidate] = subject.scores(itertools.compress(requests.rows, is_candidate))
    # `rank_items` receives the features of every other candidate, and looks up the others' in the catalog.
    every_other = [item if i % 2 else b"" for i, item in enumerate(requests.items)]
    for name in RANKING_SIGNATURES:
        scores = subject.rank_scores(name, requests.contexts, requests.item_ids, every_other)
        _check_probabilities(scores, f"`{name}` gives")
        yield name, compare_from_catalog(name, requests, expected, scores)


def check_explanations(subject: ModelProcess, requests: Sequence[bytes], ranking: RankingRequests | None) -> None:
    """Raises DryRunError if explanations do not add up to the scores of `serving_default`.

    A model without the signatures passes. `explain_items` is checked on items that the catalog has to supply.
    """
    explained: list[tuple[str, list[bytes], np.ndarray]] = []
    if EXPLAIN_SIGNATURE in subject.signatures:
        rows = list(requests[:_NUM_EXPLAINED])
        explained.append((EXPLAIN_SIGNATURE, rows, subject.explained_scores(EXPLAIN_SIGNATURE, rows)))
    if EXPLAIN_ITEMS_SIGNATURE in subject.signatures and ranking is not None:
        some = [i for i, item_id in enumerate(ranking.item_ids) if item_id != b""][:_NUM_EXPLAINED]
        contexts = [ranking.contexts[i // ranking.num_candidates] for i in some]
        item_ids, nothing = [ranking.item_ids[i] for i in some], [b""] * len(some)
        scores = subject.explained_scores(EXPLAIN_ITEMS_SIGNATURE, contexts, item_ids, nothing)
        explained.append((EXPLAIN_ITEMS_SIGNATURE, [ranking.rows[i] for i in some], scores))
    for name, rows, scores in explained:
        off = float(np.max(np.abs(scores - subject.scores(rows)), initial=0))
        if not off <= TOLERANCE:
            raise DryRunError(
                f"explanations by `{name}` must add up to the score, to {TOLERANCE:g}. "
                f"Received: a difference of {off:.3g}"
            )


def check_scores(scores: np.ndarray, subject: ModelProcess) -> None:
    """Raises DryRunError if scores are no probabilities or all equal, or if a value of a variable is not finite."""
    damaged = subject.damaged_variables()
    where = f"; nor are values of its variables {', '.join(damaged[:5])}" if damaged else ""
    _check_probabilities(scores, "", where)
    if damaged:  # scores may still be finite: a ReLU turns NaN into 0
        raise DryRunError(
            f"every value of the model's variables must be finite. Received: others in {', '.join(damaged[:5])}"
        )
    lowest, highest = float(scores.min()), float(scores.max())
    if lowest == highest:
        raise DryRunError(f"scores must differ between requests. Received: {lowest:g} for all {scores.size}")


def _check_probabilities(scores: np.ndarray, of_what: str, where: str = "") -> None:
    """Raises DryRunError if scores are not finite or not in [0, 1]."""
    what = f" that {of_what}" if of_what else ""
    if bad := int(np.count_nonzero(~np.isfinite(scores))):
        raise DryRunError(f"every score{what} must be finite. Received: {bad} of {scores.size} that are not{where}")
    lowest, highest = float(scores.min()), float(scores.max())
    if lowest < 0 or highest > 1:
        raise DryRunError(f"scores{what} must lie in [0, 1]. Received: {lowest:g} to {highest:g}")
