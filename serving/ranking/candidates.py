"""Deprecated alias of `serving.ranking_client.candidates`."""

from serving.ranking_client.candidates import *  # noqa: F403 - whatever a caller imported from here
