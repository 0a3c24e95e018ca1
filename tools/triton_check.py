"""Asks a server by Triton's own client, in every way that it has, and prints the classes of an
image as JSON. Fails where two ways disagree.

    python3 tools/triton_check.py HOST:PORT NETWORK IMAGE

Needs tritonclient[http] and numpy.
"""

import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def main(address, network, path):
    client = triton.InferenceServerClient(address, concurrency=4)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(network)
    assert client.is_model_ready(network, "1") and not client.is_model_ready("no such network")
    metadata, config = client.get_model_metadata(network), client.get_model_config(network)
    assert metadata["name"] == config["name"] == network, (metadata, config)
    assert client.get_server_metadata()["name"] == "effnet"
    assert client.get_model_repository_index()[0]["state"] == "READY"

    file = np.array([[open(path, "rb").read()]], dtype=object)
    image = triton.InferInput("image", file.shape, "BYTES")
    image.set_data_from_numpy(file)  # binary
    results = {
        "usual": client.infer(network, [image]),
        "id": client.infer(network, [image], request_id="7", model_version="1", timeout=20_000_000),
        "async": client.async_infer(network, [image]).get_result(),
        "gzip": client.infer(network, [image], request_compression_algorithm="gzip", response_compression_algorithm="gzip"),
        "deflate": client.infer(network, [image], request_compression_algorithm="deflate", response_compression_algorithm="deflate"),
        "text": client.infer(network, [image], outputs=[triton.InferRequestedOutput(n, binary_data=False) for n in ("probabilities", "logits", "features")]),
    }
    assert results["id"].get_response()["id"] == "7"
    for way, result in results.items():
        for name in ("probabilities", "logits", "features"):
            same = np.array_equal(result.as_numpy(name), results["usual"].as_numpy(name))
            assert same, f"{name} of {way} differ"

    side = next(i for i in metadata["inputs"] if i["name"] == "pixels")["shape"][1]
    for name, datatype, array in (
        ("pixels", "UINT8", np.zeros((3, side, side, 3), np.uint8)),
        ("input", "FP32", np.zeros((3, 3, side, side), np.float32)),
    ):
        answers = []
        for binary in (True, False):
            tensor = triton.InferInput(name, array.shape, datatype)
            tensor.set_data_from_numpy(array, binary_data=binary)
            answers.append(client.infer(network, [tensor]).as_numpy("logits"))
        assert answers[0].shape[0] == 3 and np.array_equal(*answers), name

    many = [client.async_infer(network, [image]) for _ in range(16)]
    assert all(np.array_equal(m.get_result().as_numpy("logits"), results["usual"].as_numpy("logits")) for m in many)

    for wrong in (lambda: client.infer("no such network", [image]), lambda: client.infer(network, [image], timeout=1), lambda: client.infer(network, [])):
        try:
            wrong()
        except InferenceServerException as e:
            assert e.message(), e
        else:
            raise AssertionError("no error")

    top = client.infer(network, [image], outputs=[triton.InferRequestedOutput("probabilities", class_count=3)]).as_numpy("probabilities")
    rows = [text.decode().split(":") for text in top[0]]
    print(json.dumps([{"probability": float(p), "index": int(i), "class": c} for p, i, c in rows]))


main(*sys.argv[1:])
