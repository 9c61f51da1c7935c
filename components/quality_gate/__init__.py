"""The gate on quality: decides on a push by what the Evaluator measured of this span and of earlier ones."""
