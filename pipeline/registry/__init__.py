"""Pushed versions, as recorded in their manifests and in ML Metadata; and artifacts that are no longer needed."""
