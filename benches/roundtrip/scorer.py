"""The usual other way: a model behind gRPC, in a process of its own, with grpcio and ONNX Runtime.

    scorer.py MODEL.onnx [--server threads|asyncio]

Prints the port it listens on (loopback). `Score` of `bench.Scorer` takes rows of f32, little-endian, one after another, and answers with one
raw score (f32) a row. Messages are plain bytes: no protobuf, so that nothing but the round trip and the model is paid for.
"""

import argparse
import asyncio
import json
from concurrent import futures

import grpc
import numpy as np
import onnxruntime

METHOD = "Score"
SERVICE = "bench.Scorer"


class Scorer:
    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        metadata = self.session.get_modelmeta().custom_metadata_map
        score = json.loads(metadata["odograph.score"])
        self.input = self.session.get_inputs()[0].name
        self.outputs = [score["output"]]
        self.kind = score["kind"]
        self.column = score.get("column", 0)
        self.width = len(json.loads(metadata["odograph.features"]))
        self.inverse_spread = 1.0 / np.array(score["spread"], dtype=np.float32) if self.kind == "reconstruction" else None

    def score(self, request):
        rows = np.frombuffer(request, dtype="<f4").reshape(-1, self.width)
        (output,) = self.session.run(self.outputs, {self.input: rows})
        if self.kind == "reconstruction":
            error = (rows - output) * self.inverse_spread
            raw = np.einsum("ij,ij->i", error, error) / self.width
        elif self.kind == "probability":
            raw = output[:, self.column]
        else:
            raw = output.reshape(-1)
        return raw.astype("<f4", copy=False).tobytes()


def threads(scorer):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: scorer.score(request))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


async def asynchronous(scorer):
    async def score(request, _context):
        return scorer.score(request)

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(score)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--server", choices=["threads", "asyncio"], default="asyncio")
    arguments = parser.parse_args()
    scorer = Scorer(arguments.model)
    if arguments.server == "threads":
        threads(scorer)
    else:
        asyncio.run(asynchronous(scorer))


if __name__ == "__main__":
    main()
