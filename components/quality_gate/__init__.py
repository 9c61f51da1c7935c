"""The quality gate: decides on a push by the Evaluator's results on this span and on earlier spans."""
