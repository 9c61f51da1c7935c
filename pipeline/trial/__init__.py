"""Trials: configs trained on the same rows in one process, without gates and without a push, and compared."""
