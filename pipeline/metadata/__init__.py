"""ML Metadata: the connection URL, the store with its repairs, and TFX's handle to it."""
