"""The config's sections on the exported model: its dry run, its budgets, and its agreement with the trainer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from transform.config.settings import PositiveFloat
from transform.feature import STRICT

Ratio = Annotated[float, Field(ge=1, allow_inf_nan=False)]


@dataclass(frozen=True, config=STRICT)
class InfraValidation:
    """The dry run of the exported model in a process of its own, and the budgets that it must keep.

    Attributes:
      num_requests: How many recorded examples it must score.
      timeout_seconds: A model that takes longer to load, or for an answer, twice, is refused.
      num_measurements: How often it scores 200 candidates, each in one batch, in two and in four, one thread a batch.
      max_latency_ms: The highest 95th percentile allowed of the time for 200 candidates, in the best of these ways.
      max_latency_ratio: How many times the baseline's median time it may take, each in its best way.
      max_memory_mb: The highest memory allowed of its process.
      max_memory_ratio: How many times the memory that the baseline adds to a process it may add.
      max_load_seconds: The longest time allowed to load it.
      max_size_mb: The largest size allowed of its files.
      max_size_ratio: How many times the size of the baseline's files its own may have.
    """

    num_requests: Annotated[int, Field(ge=2, le=100_000)] = 200
    timeout_seconds: PositiveFloat = 120.0
    num_measurements: Annotated[int, Field(ge=10, le=100_000)] = 100
    # Absolute bounds by default: with a bound relative to the last push alone, a model could cost a little more each
    # day for ever, while a growing catalog would be refused. The paper's 200 candidates took 31 ms in one batch, the
    # simulated store's 12 to 17 ms on two busy cores, with 85 MB of memory.
    max_latency_ms: PositiveFloat | None = 200.0
    max_latency_ratio: Ratio | None = None
    max_memory_mb: PositiveFloat | None = 4_000.0
    max_memory_ratio: Ratio | None = None
    max_load_seconds: PositiveFloat | None = None
    max_size_mb: PositiveFloat | None = 2_000.0
    max_size_ratio: Ratio | None = None


@dataclass(frozen=True, config=STRICT)
class Skew:
    """The comparison of the exported model's scores with the trainer's own.

    Attributes:
      num_rows: How many logged rows of the evaluation split both score, and as many again with a value missing, never
        seen or otherwise unusual. All evaluation examples are compared beside.
    """

    num_rows: Annotated[int, Field(ge=1, le=100_000)] = 500
