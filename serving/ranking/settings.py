"""Deprecated alias of `serving.ranking_client.settings`."""

from serving.ranking_client.settings import *  # noqa: F403 - whatever a caller imported from here
