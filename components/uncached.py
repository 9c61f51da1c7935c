"""Drivers for components that are never taken from the cache: their result depends on state outside ML Metadata.

TFX 1.21.0 documents no custom drivers: a component takes one as `DRIVER_CLASS`, and the launcher calls its `run`.
"""

from __future__ import annotations

from tfx.dsl.components.base import base_driver as component_driver
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver as portable_driver
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import driver_output_pb2

#: The exec property that makes a cache key unique to a run.
_RUN = "run"


class PortableDriver(component_driver.BaseDriver, portable_driver.BaseDriver):  # type: ignore[misc]
    """A component's driver with both of TFX's base classes: TFX checks for the old one and runs the new one.

    Attributes:
      metadata_handle: ML Metadata; within a `with` block, its `store` is open.
    """

    def __init__(self, metadata_handle: metadata.Metadata):
        component_driver.BaseDriver.__init__(self, metadata_handle)
        portable_driver.BaseDriver.__init__(self, metadata_handle)
        self.metadata_handle = metadata_handle


class UncachedDriver(PortableDriver):
    """Adds the run's id to the cache key, so that no other run's execution has the same key."""

    def run(self, execution_info: ExecutionInfo) -> driver_output_pb2.DriverOutput:
        output = driver_output_pb2.DriverOutput()
        output.exec_properties[_RUN].string_value = execution_info.pipeline_run_id
        return output
