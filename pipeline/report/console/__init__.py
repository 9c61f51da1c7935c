"""A run's result as text on the console: the headline and the summary."""
