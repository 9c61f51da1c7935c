"""The YAML config: its sections, their validation, and the sections that each component receives."""
