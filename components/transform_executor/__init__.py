"""Transform's executor: tf.Transform's graph and results, with analyzers computed by vectorized code."""
