"""Deprecated alias of `serving.ranking_client.client`."""

from serving.ranking_client.client import *  # noqa: F403 - whatever a caller imported from here
