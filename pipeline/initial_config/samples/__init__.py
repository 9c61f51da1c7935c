"""The first rows of a file of any format, from which a config is guessed."""
