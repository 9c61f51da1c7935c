"""Deprecated alias of `serving.ranking_client.errors`."""

from serving.ranking_client.errors import *  # noqa: F403 - whatever a caller imported from here
