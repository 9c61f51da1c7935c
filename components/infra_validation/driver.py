"""The driver of InfraValidator (TFX 1.21.0): the cache keeps no refusal that a quieter machine may not repeat."""

from __future__ import annotations

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import driver_output_pb2

from components.artifacts import MAY_CHANGE
from components.uncached import PortableDriver

#: The exec property that changes the cache key with each refusal of the model that may change.
_REFUSALS = "refusals_that_may_change"


class InfraValidatorDriver(PortableDriver):
    """Adds the number of such refusals of this model so far to the cache key, if there are any.

    So the next run measures the model again, and a blessing, or a refusal for another reason, comes from the cache.
    """

    def run(self, execution_info: ExecutionInfo) -> driver_output_pb2.DriverOutput:
        (model,) = execution_info.input_dict["model"]
        output = driver_output_pb2.DriverOutput()
        if number := self._num_refusals(model.id):
            output.exec_properties[_REFUSALS].int_value = number
        return output

    def _num_refusals(self, model_id: int) -> int:
        event = metadata_store_pb2.Event
        with self.metadata_handle as handle:
            store = handle.store
            readers = {e.execution_id for e in store.get_events_by_artifact_ids([model_id]) if e.type == event.INPUT}
            events = store.get_events_by_execution_ids(list(readers)) if readers else []
            outputs = {e.artifact_id for e in events if e.type == event.OUTPUT}
            found = store.get_artifacts_by_id(list(outputs)) if outputs else []
        return sum(
            artifact.custom_properties[MAY_CHANGE].int_value
            for artifact in found
            if MAY_CHANGE in artifact.custom_properties
        )
