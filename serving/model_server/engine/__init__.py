"""The models: their versions, how these are loaded and unloaded, and how requests are computed."""
