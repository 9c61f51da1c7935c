"""The serving folder: pushed versions with their manifests, pins, retention, rollback and their models."""
