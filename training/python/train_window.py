"""Trains the convolutional autoencoder of eight minutes and writes it as one ONNX file with its contract.

    python train_window.py --train window_11.parquet --held-out window_12.parquet window_13.parquet \
        --window models/drive_window/features.json --out models/drive_window/drive_window.onnx

A window of 16 steps of 30 s and 8 signals is centred on its own means, so that the model knows no vehicle's levels, only what moves
together with what. Four steps make a patch; one convolution with a stride of a patch (the same weights for all four patches) and one
over their results squeeze 128 numbers into a few, and two more make the window from them again. Convolutions whose stride is their
width are products of matrices, and stand so in the graph: a Conv of this size costs ten times as much. Plain numpy, one thread: the
same files and seed give the same model.
"""

from __future__ import annotations

import adam  # first: numpy on one thread

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import simulated
from feature_files import meets, seconds_of
from odograph_contract import Scorer

NAME = "drive_window"
VERSION = "1"
PATCH, CHANNELS, BOTTLENECK = 4, 20, 14
EPOCHS = 12
MOST_ROWS = 400_000
CUT = 6.0
HUBER = 3.0
REQUIRES = {"min_readings": 12, "max_missing": 8, "max_gap": "3m"}
RAISED, OF = 6, 10


def main() -> None:
    parser = simulated.parser(__doc__)
    parser.add_argument("--window", required=True, metavar="FILE", help='JSON {"window": {…}}')
    arguments = parser.parse_args()
    window = json.loads(Path(arguments.window).read_text())["window"]
    steps, signals = window["steps"], len(window["signals"])
    reach = (steps - 1) * seconds_of(window["step"]) + seconds_of(window["max_age"])
    random = np.random.default_rng(arguments.seed)

    def scored(paths):
        tables = simulated.read(paths)
        return [table.select(meets(table, REQUIRES, reach * 1_000_000)) for table in tables]

    train, held_out = scored(arguments.train), scored(arguments.held_out)
    rows = np.concatenate([table.rows for table in train])
    rows = rows[random.permutation(len(rows))[:MOST_ROWS]].reshape(-1, steps, signals)
    fill = np.nanmedian(rows.reshape(-1, signals), axis=0).astype(np.float32)
    rows = np.where(np.isnan(rows), fill, rows).astype(np.float64)
    centred = rows - rows.mean(axis=1, keepdims=True)
    deviation = np.maximum(centred.reshape(-1, signals).std(axis=0), 1e-3)
    layers = fit(np.clip(centred / deviation, -CUT, CUT), random)
    proto = build_graph(layers, deviation, steps, signals)
    names = {"window": window, "fill": fill.tolist(), "score": {}}
    scorer = Scorer(proto, names)
    again = scorer.session.run(None, {scorer.input: rows[:50_000].astype(np.float32)})[0]
    # In floats that f32 holds; never below what sensors can tell.
    spread = np.sqrt(((rows[:50_000] - again) ** 2).mean(axis=(0, 1))) + 0.02 * deviation
    score = {"kind": "reconstruction", "output": "reconstruction", "spread": [float(np.float32(value)) for value in spread]}
    scorer = Scorer(proto, names | {"score": score})
    scores = [scorer.raw(table.rows) for table in held_out]
    alert, told = simulated.alert_of(held_out, scores, RAISED, OF)
    simulated.write(
        proto, arguments, train, held_out, alert=alert, told=told, tool="train_window.py",
        name=NAME,
        version=VERSION,
        description=f"Convolutional autoencoder of {steps} steps of {window['step']}: whether engine, cooling, air path and battery moved together "
        "as they do.",
        window=window,
        fill=[float(value) for value in fill],
        requires=REQUIRES,
        score=score,
        measured={"parameters": int(sum(array.size for layer in layers for array in layer))},
    )


def fit(windows: np.ndarray, random: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """On the Huber cost: patch in, all patches in, all patches out, patch out."""
    _, steps, signals = windows.shape
    patches, cells = steps // PATCH, PATCH * signals
    sizes = [(cells, CHANNELS), (patches * CHANNELS, BOTTLENECK), (BOTTLENECK, patches * CHANNELS), (CHANNELS, cells)]
    return adam.fit(sizes, windows, backward, EPOCHS, random)


def backward(layers, windows: np.ndarray) -> list[np.ndarray]:
    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = layers
    count = len(windows)
    patches = windows.reshape(-1, PATCH * windows.shape[2])
    one = np.tanh(patches @ w1 + b1)
    flat = one.reshape(count, -1)
    two = flat @ w2 + b2
    three = np.tanh(two @ w3 + b3)
    back = three.reshape(-1, CHANNELS)
    four = back @ w4 + b4
    slope = np.clip(four - patches, -HUBER, HUBER) * (2 / count)
    gradients = [back.T @ slope, slope.sum(axis=0)]
    slope = (slope @ w4.T).reshape(count, -1) * (1 - three**2)
    gradients[:0] = [two.T @ slope, slope.sum(axis=0)]
    slope = slope @ w3.T
    gradients[:0] = [flat.T @ slope, slope.sum(axis=0)]
    slope = (slope @ w2.T).reshape(-1, CHANNELS) * (1 - one**2)
    gradients[:0] = [patches.T @ slope, slope.sum(axis=0)]
    return gradients


def build_graph(layers, deviation: np.ndarray, steps: int, signals: int) -> onnx.ModelProto:
    """Raw signals in, raw signals out: centring and scaling are inside."""
    constants = {"share": 1 / deviation, "deviation": deviation, "low": np.array(-CUT), "high": np.array(CUT)}
    for index, (weight, bias) in enumerate(layers, 1):
        constants |= {f"weight_{index}": weight, f"bias_{index}": bias}
    shapes = {"of_patches": [-1, PATCH * signals], "of_windows": [-1, steps // PATCH * CHANNELS], "of_channels": [-1, CHANNELS],
              "of_steps": [-1, steps, signals]}
    nodes = [
        helper.make_node("ReduceMean", ["window"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["window", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "share"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["cut"]),
        helper.make_node("Reshape", ["cut", "of_patches"], ["patches"]),
        helper.make_node("Gemm", ["patches", "weight_1", "bias_1"], ["sum_1"]),
        helper.make_node("Tanh", ["sum_1"], ["one"]),
        helper.make_node("Reshape", ["one", "of_windows"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight_2", "bias_2"], ["two"]),
        helper.make_node("Gemm", ["two", "weight_3", "bias_3"], ["sum_3"]),
        helper.make_node("Tanh", ["sum_3"], ["three"]),
        helper.make_node("Reshape", ["three", "of_channels"], ["back"]),
        helper.make_node("Gemm", ["back", "weight_4", "bias_4"], ["four"]),
        helper.make_node("Reshape", ["four", "of_steps"], ["again"]),
        helper.make_node("Mul", ["again", "deviation"], ["unscaled"]),
        helper.make_node("Add", ["unscaled", "mean"], ["reconstruction"]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    tensors += [numpy_helper.from_array(np.asarray(value, np.int64), name) for name, value in shapes.items()]
    shape = ["batch", steps, signals]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("reconstruction", TensorProto.FLOAT, shape)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="odograph training")
    model.ir_version = 8
    return model


if __name__ == "__main__":
    main()
