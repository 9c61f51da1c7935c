"""The Pusher: pushes an accepted candidate model as a new version."""
