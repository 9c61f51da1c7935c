"""What `wdr init` chooses by a measurement on the sample: scales of numbers, crosses, count encodings."""
