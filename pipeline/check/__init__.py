"""`wdr check`: what is wrong with a config and the data, before anything runs."""
