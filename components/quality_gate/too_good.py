"""Detects a candidate model that is implausibly good: a feature leaks the label, as in a table written late.

With the same config and code as before, an AUC may rise as it did in the spans before. After a change of either, a
larger rise may be its merit: up to `quality.max_auc_rise` it is a warning, and the model does not become the anchor, so
that the repair of a leak is not refused for being worse than the leak. A first model has the reference models alone to
be compared with: its lead over them is a warning if one feature carries it. Findings name the feature.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

from components.data_validation.evidence import Labelled
from components.data_validation.findings import auc_error, spread
from components.evaluation.results import Estimate
from components.gate_records import Finding
from components.quality_gate.inputs import AucFalls, Case, QualityInputs
from components.quality_gate.judgement import GATE
from transform.files.reference_scores import CONSTANT, ITEM_MEAN

#: The config's key of these rules.
MAX_AUC_RISE = "quality.max_auc_rise"

#: The number of standard errors, or of standard deviations from span to span, that count as chance.
_BEYOND_CHANCE = 3.0

#: The least standard deviation of AUCs, and of their rises, from span to span: a few spans may be alike by chance.
_LEAST_SPREAD = 0.005

#: With fewer rises in earlier spans, what is usual is unknown.
_MIN_RISES = 2

#: A feature that has this share of a rise or of a lead carries it.
_MOST = 0.5


def implausible_auc(case: Case) -> Iterator[Finding]:
    """Compares the AUC with the baseline's and the anchor's, and with those of the last spans' models not refused.

    A model that is legitimately much better must be force-pushed once; then it serves and is the next models' baseline.
    A finding names the feature that carries the rise, if the falls of the AUC were measured.
    """
    measured = case.current.auc_falls
    for finding in _rises(case):
        words = "" if measured is None or finding.value is None else f". {_carrier(measured)}"
        yield dataclasses.replace(finding, sentence=finding.sentence + words)


def _rises(case: Case) -> Iterator[Finding]:
    current, whole = case.current, case.current.whole
    counted = [e.inputs for e in case.earlier[-case.settings.pool_spans :] if not e.refused]
    before = [metrics["auc"] for metrics in (*(c.whole.metrics for c in counted), whole.baseline) if "auc" in metrics]
    examples = Labelled(whole.num_positives + whole.negatives, whole.num_of_rarer_label)
    found = too_good(whole.metrics.get("auc", math.nan), examples, before, case.settings.max_auc_rise)
    if found is not None:
        yield found
        return
    alike = [c for c in counted if c.recipe == current.recipe]
    yield from _unusual(current, alike, whole.changes.get("auc"), is_changed=False)
    difference = None if current.anchor is None else current.anchor.differences.get("auc")
    others = [c for c in counted if c.recipe != current.recipe]
    if usual_rise(alike) is None and (difference is None or usual_rise(others) is None):
        sentence = (
            f"whether auc rises by more than is usual cannot be judged: it takes {_MIN_RISES} of the last spans "
            f"that had a baseline; only a rise of more than {case.settings.max_auc_rise:g} is refused "
            f"({MAX_AUC_RISE})"
        )
        yield Finding(GATE, MAX_AUC_RISE, "cannot_judge", "auc", None, None, whole.num_examples, sentence)
    if difference is not None:
        rise = Estimate(difference.estimate, difference.standard_error)
        yield from _unusual(current, others, rise, is_changed=True)


def _carrier(measured: AucFalls) -> str:
    """Returns a sentence on the feature that a rise comes from: the AUC falls most without it, beyond the anchor's."""
    rise = 0.0 if measured.anchor_auc is None else measured.auc - measured.anchor_auc
    of_anchor = measured.anchor_falls if rise > 0 else {}
    shares = {name: fall - of_anchor.get(name, 0.0) for name, fall in measured.falls.items()}
    name = max(shares, key=shares.__getitem__)
    falls = f"with its values permuted among {measured.num_rows:,} rows, auc falls by {measured.falls[name]:.4f}"
    if not of_anchor:
        return f"`{name}` carries the largest part of the auc: {falls}"
    falls += f", the anchor's by {of_anchor[name]:.4f}"
    if shares[name] >= _MOST * rise:
        return f"`{name}` carries the rise: {falls}"
    return f"No feature alone carries half of the rise, `{name}` the largest part: {falls}"


def lead_of_one_feature(case: Case) -> Iterator[Finding]:
    """Warns of a first model whose lead over the reference models is large, and is carried by one feature.

    The logistic regression does not count: it reads the features, so it has a leak's lead too.
    """
    current, measured = case.current, case.current.auc_falls
    if current.serving_uri or current.anchor is not None:
        return
    references = [current.references[name] for name in (CONSTANT, ITEM_MEAN) if name in current.references]
    leads = [lead for reference in references if (lead := reference.gain("auc")) is not None]
    lead = min(leads, key=lambda of_reference: of_reference.value, default=None)
    if lead is None or lead.value <= case.settings.max_auc_rise + _BEYOND_CHANCE * lead.standard_error:
        return
    received = (
        f"auc is higher than that of the best reference model that reads at most the item's id by {lead.value:.4f} ± "
        f"{lead.half_width:.4f}, beyond chance by more than {case.settings.max_auc_rise:g} ({MAX_AUC_RISE})"
    )
    if measured is None:
        sentence = f"{received}; which feature carries this lead was not measured"
        rows, bound = current.whole.num_examples, case.settings.max_auc_rise
        yield Finding(GATE, MAX_AUC_RISE, "cannot_judge", "auc", lead.value, bound, rows, sentence)
        return
    judged = {name: fall for name, fall in measured.falls.items() if name not in measured.exempt}
    name = max(judged, key=judged.__getitem__, default="")
    if name and judged[name] >= _MOST * lead.value:
        sentence = (
            f"{received}; `{name}` carries this lead: with its values permuted among {measured.num_rows:,} rows, auc "
            f"falls by {judged[name]:.4f}. Its values must have been known when the rows were written, and must not "
            "contain the label. A later model without it is worse, and needs `wdr run --force-push --reason TEXT`"
        )
        bound, rows = _MOST * lead.value, measured.num_rows
        yield Finding(GATE, MAX_AUC_RISE, "warn", name, judged[name], bound, rows, sentence)


def usual_rise(earlier: Sequence[QualityInputs]) -> float | None:
    """Returns by how much an AUC may exceed that of a model before it, by earlier spans; None if these are too few.

    It is max(0, r_1, …, r_n) + 3 s, with r_i the rise of span i over its baseline on the same rows, and s the standard
    deviation of the rises.
    """
    rises = [c.whole.changes["auc"].value for c in earlier if "auc" in c.whole.changes]
    rises = [rise for rise in rises if math.isfinite(rise)]
    return _usual(rises) if len(rises) >= _MIN_RISES else None


def _usual(values: Sequence[float]) -> float:
    return max(0.0, *values) + _BEYOND_CHANCE * spread(values, _LEAST_SPREAD)


def _unusual(
    current: QualityInputs, earlier: Sequence[QualityInputs], rise: Estimate | None, *, is_changed: bool
) -> Iterator[Finding]:
    """Yields the finding of an AUC that is above what is usual, on the same rows and against the earlier spans.

    Both are required: after a loss of the baseline, as by new ids, the rise is large and the AUC is as before.

    Args:
      current: The inputs of this span.
      earlier: Those of the last spans with the same config and code; or with other ones, if `is_changed`.
      rise: The AUC minus the baseline's; or minus the anchor's, if `is_changed`.
      is_changed: Whether a change of the config or the code may be the cause, so that the finding only warns.
    """
    bound, auc = usual_rise(earlier), current.whole.metrics.get("auc", math.nan)
    if bound is None or rise is None:
        return
    levels = [level for c in earlier if math.isfinite(level := c.whole.metrics.get("auc", math.nan))]
    if not (auc > _usual(levels) and rise.value > bound + _BEYOND_CHANCE * rise.standard_error):  # False for NaN
        return
    received = f"{rise.value:.4f} ± {rise.half_width:.4f}, to {auc:.4f}"
    if is_changed:
        sentence = (
            f"auc is higher than the anchor's by {received}, while {bound:.4f} was usual before the config or the code "
            f"was changed ({MAX_AUC_RISE}): the change may be the cause, or a feature contains the label; until the "
            "spans before the change are out of `quality.pool_spans`, such a model does not become the anchor"
        )
    else:
        sentence = (
            f"auc may be higher than the baseline's by at most {bound:.4f} beyond chance, by the last spans with "
            f"the same config and code ({MAX_AUC_RISE}). Received: {received}: too good to be true, as if a feature "
            "contained the label. `wdr run --force-push --reason TEXT` pushes it anyway"
        )
    rows = current.whole.num_examples
    yield Finding(GATE, MAX_AUC_RISE, "warn" if is_changed else "refuse", "auc", rise.value, bound, rows, sentence)


def is_suspicious(found: Sequence[Finding]) -> bool:
    """Returns whether the gate's findings warn of a rise that a change of the config or the code may have caused."""
    return any(finding.rule == MAX_AUC_RISE and finding.severity == "warn" for finding in found)


def too_good(auc: float, examples: Labelled, before: Sequence[float], max_rise: float) -> Finding | None:
    """Compares a candidate model's AUC with the baseline's, and with those of earlier spans' models on their spans.

    Args:
      auc: The candidate model's AUC on the span's evaluation examples.
      examples: The numbers of those examples.
      before: The AUCs of the other models; one that is undefined, as without a positive, does not count.
      max_rise: How much the AUC may exceed the highest of them, beyond chance (`quality.max_auc_rise`).

    Returns:
      The finding; None if the AUC is credible, or there is no other model with an AUC.
    """
    known = [of_model for of_model in before if math.isfinite(of_model)]
    if not known or math.isnan(auc):
        return None
    highest = max(known)
    bound = highest + max_rise + _BEYOND_CHANCE * auc_error(highest, examples)
    if auc <= bound:
        return None
    return Finding(
        GATE,
        "quality.max_auc_rise",
        "refuse",
        "auc",
        auc,
        bound,
        examples.rows,
        f"auc may be higher than those of the baseline and of the last spans' models, {highest:.4f}, by at "
        f"most {max_rise:g} beyond chance (quality.max_auc_rise). Received: {auc:.4f}: too good to be true, as if a "
        "feature contained the label",
    )
