"""A gRPC server with gRPC's defaults, as TF Serving is, that answers each call after some seconds."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from serving.ranking_client.protos import GetModelMetadataRequest, GetModelMetadataResponse, SignatureDefMap
from transform.signature_names import RANK_SIGNATURE


def main(port: int, seconds: float) -> None:
    """Serves the metadata of version 1 of any model until it is ended."""

    def metadata(_: Any, __: grpc.ServicerContext) -> Any:
        time.sleep(seconds)
        response, signatures = GetModelMetadataResponse(), SignatureDefMap()
        response.model_spec.version.value = 1
        signatures.signature_def[RANK_SIGNATURE].SetInParent()
        response.metadata["signature_def"].value = signatures.SerializeToString()
        return response

    handler = grpc.unary_unary_rpc_method_handler(
        metadata, GetModelMetadataRequest.FromString, GetModelMetadataResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(16))
    service = "tensorflow.serving.PredictionService"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"GetModelMetadata": handler})])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
