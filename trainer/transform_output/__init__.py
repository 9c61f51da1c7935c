"""What the trainer reads of tf.Transform's output: the saved graph, vocabularies and boundaries."""
