"""Rules on examples and their features: how many there are, of which hours, with which values and ids."""
