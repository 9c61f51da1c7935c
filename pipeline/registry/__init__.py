"""The pushed versions as ML Metadata and their manifests record them, and the artifacts that nothing needs any more."""
