"""The loop of a store that learns from what its own models have served: serve, log, train, push, and again."""
