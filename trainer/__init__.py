"""The joint Wide & Deep model: its layers, optimizers, warm start, training and export."""
