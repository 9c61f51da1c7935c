"""What raw values become in a TensorFlow graph, the same in Transform and in the exported model."""
