"""The bottom layer: declares the features and transforms raw values into the model's inputs."""
