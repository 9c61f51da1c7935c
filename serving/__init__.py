"""The clients and servers of a pushed model. This package imports neither the trainer nor TFX."""
