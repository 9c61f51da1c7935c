"""A simulated app store with a known ground truth; writes logs that the pipeline can run on."""

from pipeline.simulator.simulate import MIN_APPS, DayCounts, simulate
from pipeline.simulator.writers import FORMATS

__all__ = ["FORMATS", "MIN_APPS", "DayCounts", "simulate"]
