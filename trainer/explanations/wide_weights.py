"""The wide part's weights in readable form: the number of non-zero ones, and the strongest by name."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

import numpy as np

from trainer.counts import MIDDLE_BUCKET, SHARE_BUCKET_WIDTH
from trainer.transform_output.state import TransformState
from trainer.wide_deep.model import WideDeep
from trainer.wide_deep.tables import RowKeys, Table
from transform.combinations import CROSS_SEPARATOR, NUM_COUNT_BUCKETS

#: For each table, this many of the most positive and of the most negative weights are listed.
NUM_STRONGEST = 20

_INTRODUCTION = """\
# Weights of the wide part

An example's score is the sigmoid of the bias, plus the weight of each row below that applies to the example, plus the
deep part's logit. So a weight w multiplies the odds of an acquisition by e^w, the rest being equal.
"""

_MARKUP = str.maketrans({character: f"\\{character}" for character in "\\|<[`*&"})


def non_zero_rows(model: WideDeep) -> dict[str, int]:
    """The number of weights that are not zero, by wide table."""
    return {table.name: int(np.count_nonzero(model.table_weights[table.name].numpy())) for table in model.wide_tables}


def to_markdown(model: WideDeep, transform_state: TransformState) -> str:
    """Renders the page as Markdown: the wide tables' sizes, then each table's strongest weights.

    Args:
      model: The trained model.
      transform_state: The vocabularies and boundaries that name the rows.
    """
    counts = non_zero_rows(model)
    sizes = [
        [title(table), f"{table.rows:,}", f"{counts[table.name]:,}", f"{counts[table.name] / table.rows:.1%}"]
        for table in model.wide_tables
    ]
    parts = [_INTRODUCTION, f"The bias is {model.bias.numpy():+.4f}.\n"]
    parts.append(_table(["rows of", "in all", "non-zero", "share"], sizes, numbers=slice(1, None)))
    for table in model.wide_tables:
        parts.append(f"## {title(table)}\n")
        if table.keys.kind == "hash":
            parts.append("Combinations are hashed: a row stands for all that share its bucket.\n")
        parts.append(_strongest(table, model.table_weights[table.name].numpy(), transform_state))
    return "\n".join(parts)


def row_names(keys: RowKeys, row: int, transform_state: TransformState) -> list[str]:
    """Names what a row represents, as readable text: for a counted cross one value per feature, else one name.

    Args:
      keys: What the table's rows represent.
      row: The row's number.
      transform_state: The vocabularies and boundaries.
    """
    match keys.kind:
        case "quantiles":
            return [_quantile(transform_state.boundaries[keys.features[0]], row)]
        case "share" | "rows" if row == NUM_COUNT_BUCKETS:
            return ["(hidden)"]
        case "share":
            return [_share(row)]
        case "rows":
            return [_count(row)]
        case "hash":
            return [f"hash bucket {row}"]
    tokens = transform_state.vocabularies[keys.vocabulary or ""]
    if row >= len(tokens):
        return [f"(out of vocabulary, bucket {row - len(tokens)} of {keys.oov_buckets})"]
    if not keys.features:
        return [_text(tokens[row])]
    values = tokens[row].split(CROSS_SEPARATOR.encode())
    if len(values) != len(keys.features):  # a value contains the separator
        return [_text(tokens[row]), *[""] * (len(keys.features) - 1)]
    return [
        _quantile(transform_state.boundaries[name], int(value)) if name in keys.quantiles else _text(value)
        for name, value in zip(keys.features, values, strict=True)
    ]


def title(table: Table) -> str:
    """The name of what a table's rows belong to: a feature, a count, or a cross by its features' names."""
    name = table.name.removeprefix("wide/")
    return " × ".join(table.keys.features) if table.keys.features else name


def strongest_rows(
    keys: RowKeys, weights: np.ndarray, transform_state: TransformState, limit: int
) -> tuple[list[int], list[int]]:
    """The rows of the strongest weights of a table.

    Args:
      keys: What the table's rows represent.
      weights: The weights, float32 `[rows]`.
      transform_state: The boundaries, by which empty quantiles are found.
      limit: The maximum number of rows of each sign.

    Returns:
      The rows of the largest positive weights, the largest first; and of the smallest negative ones, the smallest
      first.
    """
    order = np.argsort(weights, kind="stable")
    if keys.kind == "quantiles":  # skip quantiles that are empty because a frequent value repeats the boundary
        boundaries = transform_state.boundaries[keys.features[0]]
        order = order[~np.isin(order, np.flatnonzero(np.diff(boundaries) <= 0) + 1)]
    highest = [row for row in order[::-1][:limit].tolist() if weights[row] > 0]
    return highest, [row for row in order[:limit].tolist() if weights[row] < 0]


def _strongest(table: Table, weights: np.ndarray, transform_state: TransformState) -> str:
    highest, lowest = strongest_rows(table.keys, weights, transform_state, NUM_STRONGEST)
    if not highest and not lowest:
        return "All weights are zero.\n"
    columns = table.keys.features if table.keys.kind == "vocabulary" and table.keys.features else (title(table),)
    sides = []
    for direction, rows in (("raise", highest), ("lower", lowest)):
        if rows:
            lines = [
                [f"{weights[row]:+.4f}", f"{np.exp(weights[row]):.3g}", *row_names(table.keys, row, transform_state)]
                for row in rows
            ]
            sides.append(f"Rows that {direction} the score most:\n")
            sides.append(_table(["weight", "odds ×", *columns], lines, numbers=slice(0, 2)))
    return "\n".join(sides)


def _table(columns: Sequence[str], lines: Sequence[Sequence[str]], numbers: slice) -> str:
    alignment = ["---"] * len(columns)
    alignment[numbers] = ["---:"] * len(alignment[numbers])
    rows = (columns, alignment, *lines)
    return "".join(f"| {' | '.join(_escaped(cell) for cell in cells)} |\n" for cells in rows)


def _escaped(cell: str) -> str:
    """A text for a cell of a table: a bar would end it, and the others would become markup."""
    return cell.translate(_MARKUP)


def _quantile(boundaries: np.ndarray, quantile: int) -> str:
    """The interval of a quantile's values."""
    if quantile > boundaries.size:
        return "(missing)"
    lower = f"from {boundaries[quantile - 1]:g}" if quantile > 0 else ""
    upper = f"below {boundaries[quantile]:g}" if quantile < boundaries.size else ""
    return " ".join(filter(None, (lower, upper)))


def _share(bucket: int) -> str:
    """The odds at the middle of a share bucket, relative to the odds of all rows."""
    return f"odds × {math.exp((bucket - MIDDLE_BUCKET) * SHARE_BUCKET_WIDTH):.3g}"


def _count(bucket: int) -> str:
    """The range of row counts in a bucket: 0, 1, 2 to 3, 4 to 7, and so on."""
    first = 2 ** (bucket - 1) if bucket else 0
    if bucket == NUM_COUNT_BUCKETS - 1:
        return f"{first:,} or more"
    return f"{first:,}" if bucket < 2 else f"{first:,} to {2 * first - 1:,}"


def _text(token: bytes) -> str:
    """A token as text, with non-printable characters escaped."""
    text = token.decode("utf-8", errors="backslashreplace")
    return "".join(c if unicodedata.category(c)[0] != "C" else c.encode("unicode_escape").decode() for c in text)
