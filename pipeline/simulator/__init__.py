"""A simulated app store, whose logs the pipeline can be run on and whose hidden truth is known."""

from pipeline.simulator.simulate import MIN_APPS, DayCounts, simulate
from pipeline.simulator.writers import FORMATS

__all__ = ["FORMATS", "MIN_APPS", "DayCounts", "simulate"]
