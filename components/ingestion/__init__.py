"""From log files to tf.Examples: spans, readers, row rules, joins, and the TFX component around them."""
