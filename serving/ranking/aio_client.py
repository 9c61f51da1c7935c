"""Deprecated alias of `serving.ranking_client.aio_client`."""

from serving.ranking_client.aio_client import *  # noqa: F403 - whatever a caller imported from here
