"""The earlier name of `serving.ranking_client`; it goes with the release after this one."""

import warnings

warnings.warn(
    "`serving.ranking` is `serving.ranking_client` now: change the import; the old name goes with the next release",
    DeprecationWarning,
    stacklevel=2,
)
