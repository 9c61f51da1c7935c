"""Measures all rows of an evaluation by files, and by ranges of scores and hashes: no process holds them all."""
