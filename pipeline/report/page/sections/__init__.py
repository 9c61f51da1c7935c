"""The head and the sections of a run's page, a module each."""
