"""ML Metadata: the connection, the store and how long a connection is held."""
