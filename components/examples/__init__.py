"""Files of tf.Examples: encoding, writing, reading."""
