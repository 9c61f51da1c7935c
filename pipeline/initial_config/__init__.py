"""The first config of a data set, guessed from one of its files: the command `wdr init`."""
