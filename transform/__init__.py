"""The bottom layer: what a feature is, and how a raw value becomes what the model reads."""
