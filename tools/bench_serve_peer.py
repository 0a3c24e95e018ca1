"""The server that bench_serve.py compares effnet serve with: FastAPI on uvicorn (uvloop and
httptools), Pillow and ONNX Runtime. Its variants are settings by environment:

    MODEL    an ONNX model with an input [N,3,R,R], as effnet export writes it
    SIDE     R; the image's shorter side becomes SIDE/0.875 first, as timm has it
    MEAN, STD  of pixels in 0 to 255, three numbers each
    THREADS  of ONNX Runtime
    BATCH    images that are computed together, at most; 1 computes each by itself
    WAIT     seconds to wait for others

Several worker processes are uvicorn's --workers. POST /classify takes an image as its body.
"""

import asyncio
import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
from fastapi import FastAPI, Request
from fastapi.responses import Response
from PIL import Image

SIDE, BATCH, WAIT = int(os.environ["SIDE"]), int(os.environ.get("BATCH", "1")), float(os.environ.get("WAIT", "0"))
THREADS = int(os.environ.get("THREADS", "2"))
MEAN = np.array([float(v) for v in os.environ["MEAN"].split()], np.float32)
SCALE = 1 / np.array([float(v) for v in os.environ["STD"].split()], np.float32)

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = THREADS
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
NAME = session.get_inputs()[0].name
app = FastAPI()
decoders = ThreadPoolExecutor(int(os.environ.get("DECODERS", "2")))
computer = ThreadPoolExecutor(1)
queue: asyncio.Queue = asyncio.Queue()


def decode(body):
    image = Image.open(io.BytesIO(body))
    large = int(SIDE / 0.875)
    image.draft("RGB", (large, large))  # libjpeg shrinks while it decodes
    image = image.convert("RGB")
    w, h = image.size
    scale = large / min(w, h)
    side = SIDE / scale
    left, top = (w - side) / 2, (h - side) / 2
    image = image.resize((SIDE, SIDE), Image.BICUBIC, box=(left, top, left + side, top + side))
    return ((np.asarray(image, np.float32) - MEAN) * SCALE).transpose(2, 0, 1)


def compute(images):
    logits = session.run(None, {NAME: np.stack(images)})[0]
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


async def batches():
    loop = asyncio.get_running_loop()
    while True:
        waiting = [await queue.get()]
        end = loop.time() + WAIT
        while len(waiting) < BATCH:
            try:
                waiting.append(queue.get_nowait() if WAIT == 0 else await asyncio.wait_for(queue.get(), end - loop.time()))
            except (asyncio.QueueEmpty, asyncio.TimeoutError):
                break
        probabilities = await loop.run_in_executor(computer, compute, [image for image, _ in waiting])
        for (_, answer), row in zip(waiting, probabilities):
            answer.set_result(row)


@app.on_event("startup")
async def start():
    app.state.task = asyncio.create_task(batches())


@app.post("/classify")
async def classify(request: Request):
    loop = asyncio.get_running_loop()
    image = await loop.run_in_executor(decoders, decode, await request.body())
    answer = loop.create_future()
    await queue.put((image, answer))
    row = await answer
    top = np.argsort(row)[::-1][:5]
    parts = ",".join(f'{{"index":{i},"probability":{row[i]:.6g}}}' for i in top)
    return Response(f'{{"predictions":[{parts}]}}', media_type="application/json")
