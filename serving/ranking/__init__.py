"""Deprecated alias of `serving.ranking_client`; the release after this one removes it."""

import warnings

warnings.warn(
    "`serving.ranking` is `serving.ranking_client` now: change the import; the old name goes with the next release",
    DeprecationWarning,
    stacklevel=2,
)
