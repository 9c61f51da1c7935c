"""What runs beside a pushed model; imports neither the trainer nor TFX."""
