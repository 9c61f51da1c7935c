"""What a warm start carried over, as the training report has it."""

from __future__ import annotations

import dataclasses

from transform.documents import FloatOrNaN


@dataclasses.dataclass(frozen=True)
class TableReport:
    """What was carried over in one table.

    Attributes:
      kept: The number of rows that start from the previous model's rows.
      new: The number of rows that match no row of the previous model.
      dropped: The number of the previous model's rows that no row starts from.
      carried_norm: The L2 norm of the kept rows' values.
    """

    kept: int
    new: int
    dropped: int
    carried_norm: FloatOrNaN


#: The beginning of the reason of a cold start that nobody asked for.
NO_FILES = "the previous model has no warm-start files"


@dataclasses.dataclass(frozen=True)
class WarmStartReport:
    """What a warm start carried over.

    Attributes:
      warm_started_from: The previous model's SavedModel folder; None after a cold start.
      tables: A report per table of the model, by name; empty after a cold start.
      dense: The names of the dense variables that were carried over.
      not_carried: What was not carried over, and why: one sentence each.
    """

    warm_started_from: str | None
    tables: dict[str, TableReport] = dataclasses.field(default_factory=dict)
    dense: tuple[str, ...] = ()
    not_carried: tuple[str, ...] = ()
