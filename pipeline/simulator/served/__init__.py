"""Days of the simulated store that are served: a rank service orders the candidates, and is told what came of it."""

from pipeline.simulator.served.simulate import ServedDay, simulate_served
from pipeline.simulator.served.truth import TRUTHS

__all__ = ["TRUTHS", "ServedDay", "simulate_served"]
