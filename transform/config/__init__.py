"""The YAML config: its sections, their validation, and which sections each component is given."""
