"""Trains the autoencoder of real drives and writes it as one ONNX file with its contract.

    python train_autoencoder.py --features f1s.parquet f5s.parquet f30s.parquet --out drive_autoencoder.onnx

The files come from `odograph features export`, one per reporting interval, so that the model knows vehicles that report every
second and such that report every 30 s. Drives before --calibration-from train, those before --test-from calibrate, the rest is
only measured. Plain numpy in f64 on one thread: the same files and seed give the same model.
"""

from __future__ import annotations

import adam  # first: numpy on one thread

import argparse
import datetime
import json
import platform
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from feature_files import EPOCH, MICROSECOND, FeatureTable, day_of, meets, read_features
from odograph_contract import Scorer, write_contract

NAME = "drive_autoencoder"
VERSION = "1"
HIDDEN, BOTTLENECK = 32, 10
EPOCHS = 30
# What enters the network is cut here, in standard deviations, so that one absurd value does not bend the reconstruction of all others.
CUT = 6.0
# In the cost, an error counts linearly beyond this: sensors of real drives have glitches.
HUBER = 3.0
# One drive's first minutes, holes in the feed, and vehicles that lack a signal are not scored.
REQUIRES = {"min_readings": 12, "max_missing": 4, "max_gap": "2m"}


def main() -> None:
    arguments = parse_arguments()
    tables = [read_features(path) for path in arguments.features]
    names = json.loads(Path(arguments.names).read_text())["features"] if arguments.names else tables[0].names
    tables = [table.columns(names) for table in tables]
    kept = [table.select(meets(table, REQUIRES)) for table in tables]
    calibration_from, test_from = micros_of(arguments.calibration_from), micros_of(arguments.test_from)
    train = [table.select(table.recorded_at < calibration_from) for table in kept]
    held_out = [table.select((table.recorded_at >= calibration_from) & (table.recorded_at < test_from)) for table in kept]
    test = [table.select(table.recorded_at >= test_from) for table in kept]
    for part, of in (("training", train), ("calibration", held_out)):
        if min(map(len, of)) == 0:
            raise SystemExit(f"no reading of a features file falls into the {part} period")
    random = np.random.default_rng(arguments.seed)
    fill = np.nanmedian(train[0].rows.astype(np.float64), axis=0)
    rows = filled(equal_shares([table.rows for table in train], random), fill)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    deviation = np.maximum(deviation, 1e-6)
    weights = fit(np.clip((rows - mean) / deviation, -CUT, CUT), random)
    proto = build_graph(weights, mean, deviation)
    spread = residual_spread(proto, rows, fill, deviation)
    contract = write_contract(
        proto,
        arguments.out,
        name=NAME,
        version=VERSION,
        description=f"Autoencoder {len(names)}-{HIDDEN}-{BOTTLENECK}-{HIDDEN}-{len(names)} of real drives of one car (Seat Leon): "
        "how far engine, air path and speed are from fitting together.",
        author="Odograph; data by Marc Weber, Karlsruhe Institute of Technology (DOI 10.35097/1130)",
        license="Apache-2.0; training data CC BY 4.0",
        features=names,
        fill=[float(np.float32(value)) for value in fill],
        requires=REQUIRES,
        score={"kind": "reconstruction", "output": "reconstruction", "spread": [float(np.float32(value)) for value in spread]},
        # Each reading once: drawing some again would claim more evidence than there is.
        normal=np.concatenate([table.rows for table in held_out]),
        golden=golden_rows(test if min(map(len, test)) else held_out),
        training={
            "data_sha256": [table.content_hash() for table in tables],
            "rows": sum(map(len, train)),
            "rows_calibration": sum(map(len, held_out)),
            "period": [day_of(min(table.recorded_at.min() for table in train)), day_of(calibration_from)],
            "calibration_period": [day_of(calibration_from), day_of(test_from)],
            "tool": "training/python/train_autoencoder.py",
            "versions": {"python": platform.python_version(), "numpy": np.__version__, "onnx": onnx.__version__},
            "seed": arguments.seed,
        },
    )
    report(arguments, contract, {"training": train, "calibration": held_out, "test": test})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--names", metavar="FILE", help='JSON {"features": […]}; by default all columns of the first file')
    parser.add_argument("--out", required=True, metavar="FILE.onnx")
    parser.add_argument("--report", metavar="FILE.json", help="what was measured, as JSON")
    parser.add_argument("--calibration-from", default="2017-07-28")
    parser.add_argument("--test-from", default="2017-08-07")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def micros_of(day: str) -> int:
    return (datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.timezone.utc) - EPOCH) // MICROSECOND


def equal_shares(parts: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """All rows of the largest part, and as many drawn from each other one: every reporting interval weighs the same."""
    most = max(map(len, parts))
    drawn = [part if len(part) == most else part[random.integers(0, len(part), most)] for part in parts]
    return np.concatenate(drawn)


def filled(rows: np.ndarray, fill: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return np.where(np.isnan(rows), fill, rows)


def fit(inputs: np.ndarray, random: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """On the Huber cost; tanh after the first and third layer."""
    width = inputs.shape[1]
    sizes = [width, HIDDEN, BOTTLENECK, HIDDEN, width]
    return adam.fit(list(zip(sizes, sizes[1:])), inputs, backward, EPOCHS, random)


def backward(layers, inputs: np.ndarray) -> list[np.ndarray]:
    values = [inputs]
    for index, (weight, bias) in enumerate(layers):
        value = values[-1] @ weight + bias
        values.append(np.tanh(value) if index in (0, 2) else value)
    slope = np.clip(values[-1] - inputs, -HUBER, HUBER) * (2 / len(inputs))
    gradients = []
    for index in range(len(layers) - 1, -1, -1):
        if index in (0, 2):
            slope = slope * (1 - values[index + 1] ** 2)
        gradients[:0] = [values[index].T @ slope, slope.sum(axis=0)]
        slope = slope @ layers[index][0].T
    return gradients


def build_graph(layers, mean: np.ndarray, deviation: np.ndarray) -> onnx.ModelProto:
    """Raw features in, raw features out: scaling is inside."""
    width = len(mean)
    constants = {"mean": mean, "deviation": deviation, "low": np.array(-CUT), "high": np.array(CUT)}
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["layer_0"]),
    ]
    for index, (weight, bias) in enumerate(layers):
        constants |= {f"weight_{index}": weight, f"bias_{index}": bias}
        has_tanh = index in (0, 2)
        target = f"sum_{index}" if has_tanh else f"layer_{index + 1}"
        nodes.append(helper.make_node("Gemm", [f"layer_{index}", f"weight_{index}", f"bias_{index}"], [target]))
        if has_tanh:
            nodes.append(helper.make_node("Tanh", [target], [f"layer_{index + 1}"]))
    nodes += [
        helper.make_node("Mul", ["layer_4", "deviation"], ["unscaled"]),
        helper.make_node("Add", ["unscaled", "mean"], ["reconstruction"]),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("reconstruction", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="odograph training")
    model.ir_version = 8
    return model


def residual_spread(proto, rows: np.ndarray, fill: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Root mean square of each feature's residual on the training rows: what is normal for it. Never below a thousandth of its deviation."""
    contract = {"features": [""] * rows.shape[1], "fill": fill.tolist(), "score": {}}
    scorer = Scorer(proto, contract)
    again = scorer.session.run(None, {scorer.input: rows.astype(np.float32)})[0]
    return np.sqrt(((rows - again) ** 2).mean(axis=0)) + 1e-3 * deviation


def golden_rows(tables: list[FeatureTable]) -> np.ndarray:
    """Real rows of the drives that nothing was fitted to; one of them lacks values, one is absurd."""
    rows = tables[0].rows
    rows = rows[np.linspace(0, len(rows) - 1, 8).astype(int)].copy()
    rows[6, :2] = np.nan
    rows[7, 0] = -40.0
    return rows


def report(arguments: argparse.Namespace, contract: dict, parts: dict[str, list[FeatureTable]]) -> None:
    scorer = Scorer(arguments.out)
    measured = {"file": str(arguments.out), "bytes": Path(arguments.out).stat().st_size, "parts": {}}
    for part, tables in parts.items():
        for path, table in zip(arguments.features, tables):
            if len(table) == 0:
                continue
            raw = scorer.raw(table.rows)
            score = scorer.calibrated(raw)
            measured["parts"][f"{part} {Path(path).stem}"] = {
                "rows": len(table),
                "raw_median": round(float(np.median(raw)), 4),
                "share_above_0.99": round(float((score > 0.99).mean()), 5),
                "share_above_0.999": round(float((score > 0.999).mean()), 5),
            }
    text = json.dumps(measured, indent=1)
    print(text)
    if arguments.report:
        Path(arguments.report).write_text(text + "\n")


if __name__ == "__main__":
    main()
