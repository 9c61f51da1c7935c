"""The DistributionValidator's config: the config's `drift` in TFX's terms."""

from __future__ import annotations

from tfx.proto import distribution_validator_pb2

from transform.drift_settings import Drift


def drift_config(drift: Drift) -> distribution_validator_pb2.DistributionValidatorConfig:
    """Returns which distributions are compared with an earlier span's, and how far apart they may be."""
    config = distribution_validator_pb2.DistributionValidatorConfig()
    for name, divergence in drift.max_divergence.items():
        feature = config.default_slice_config.feature.add()
        feature.path.step.append(name)
        feature.distribution_comparator.jensen_shannon_divergence.threshold = divergence
    return config
