"""Writes the contract of Odograph into any ONNX file, and judges rows as Odograph does.

One call makes a file that `odograph run` scores live traffic with:

    from odograph_contract import write_contract
    write_contract("mine.onnx", "mine.odograph.onnx", name="mine", version="1",
                   features=["speed_km_per_h", "coolant_temperature_celsius.slope_5m"],
                   score={"kind": "score", "output": "score"}, normal=held_out_rows)

`normal` are raw feature rows of healthy, held-out readings, NaN where missing. Calibration and golden rows are measured on them
with ONNX Runtime. Needs numpy, onnx and onnxruntime; nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

PREFIX = "odograph."
VERSION = "1"
GOLDEN_ROWS = 8
# Dense where it matters: a score of 0.999 says that one normal reading in a thousand is as odd.
PROBABILITIES = [0.0, 0.05, *(round(0.1 * step, 1) for step in range(1, 10)), 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995,
                 0.9998, 0.9999, 1.0]


class ContractError(ValueError):
    """Says which key is wrong and why."""


def write_contract(
    model,
    out,
    *,
    name: str,
    version: str,
    score: dict,
    normal: np.ndarray,
    features: list[str] | None = None,
    window: dict | None = None,
    alert: dict | None = None,
    golden: np.ndarray | None = None,
    fill: list[float | None] | None = None,
    requires: dict | None = None,
    description: str = "",
    author: str = "",
    license: str = "",
    applies_to: dict | None = None,
    training: dict | None = None,
    tolerance: float = 1e-4,
) -> dict:
    """Writes `model` (a path or a ModelProto) with its contract to `out`. Returns the contract as it stands in the file.

    features: names in the order of the input's columns; `odograph features list` explains them all. Or
    window: {"steps": 16, "signals": […], "step": "30s", "max_age": "90s"}: the model takes [batch, steps, signals], and rows are
        [rows, steps * signals] here as `odograph features export --features @window.json` writes them.
    score: {"kind": "score"|"reconstruction"|"probability", "output": …}, with "spread" (one number per feature) for a
        reconstruction, "column" for a probability, "higher_is": "normal" where low outputs are the anomalous ones.
    normal: [rows, features], raw values as `odograph features export` writes them, NaN where missing.
    golden: rows that the model is checked with whenever it is loaded; by default a few of `normal`.
    fill: what stands for a missing value, per feature; None passes NaN on to the model.
    requires: {"min_readings": n, "max_missing": n, "max_gap": "2m"}; a reading that does not meet it gets no score.
    alert: {"open": raw, "close": raw, "raised": k, "of": n, "calm_for": "5m", "calm_readings": 3, "severity": "warning"}: when the
        score becomes an alert; `alert_limits.py` finds the limits. Without it the settings say when, by tail probability.
    """
    proto = onnx.load(model) if isinstance(model, (str, Path)) else onnx.ModelProto.FromString(model.SerializeToString())
    if (features is None) == (window is None):
        raise ContractError("a model takes features or a window, the one or the other")
    columns = len(features) if features is not None else len(window["signals"])
    contract = {
        "contract": VERSION,
        "name": name,
        "version": version,
        "description": description,
        "author": author,
        "license": license,
        **({"features": list(features)} if features is not None else {"window": window}),
        "fill": list(fill) if fill is not None else [None] * columns,
        "requires": requires or {},
        "score": score,
        "applies_to": applies_to or {},
        **({"alert": alert} if alert else {}),
        "training": training or {},
    }
    check(proto, contract)
    scorer = Scorer(proto, contract)
    normal = as_rows(normal, width_of(contract))
    raw = scorer.raw(normal)
    raw = raw[np.isfinite(raw)]
    if len(raw) < 100:
        raise ContractError(f"normal: {len(raw)} rows with a score are too few to calibrate on; at least 100 are needed")
    contract["calibration"] = calibrate(raw)
    contract["baseline"] = histograms(normal.reshape(-1, columns))
    golden = spread_out(normal, GOLDEN_ROWS) if golden is None else as_rows(golden, width_of(contract))
    expected = scorer.raw(golden)
    if not np.isfinite(expected).all():
        raise ContractError("golden: the model gives no number for one of the rows")
    contract["golden"] = {"rows": nulls_for_nan(golden), "raw": as_list(expected), "tolerance": tolerance}
    del proto.metadata_props[:]
    for key, value in contract.items():
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), allow_nan=False)
        proto.metadata_props.add(key=PREFIX + key, value=text)
    onnx.checker.check_model(proto)
    Path(out).write_bytes(proto.SerializeToString(deterministic=True))
    return contract


def read_contract(model) -> dict:
    """The contract of a file, with its JSON values read."""
    proto = onnx.load(model) if isinstance(model, (str, Path)) else model
    texts = {entry.key.removeprefix(PREFIX): entry.value for entry in proto.metadata_props if entry.key.startswith(PREFIX)}
    if texts.get("contract") != VERSION:
        raise ContractError(f"{PREFIX}contract is {texts.get('contract')!r}, not {VERSION!r}: no contract that this code reads")
    plain = {"contract", "name", "version", "description", "author", "license"}
    return {key: text if key in plain else json.loads(text) for key, text in texts.items()}


class Scorer:
    """Raw and calibrated scores of feature rows, by ONNX Runtime in Python and the formulas of the contract."""

    def __init__(self, model, contract: dict | None = None):
        proto = onnx.load(model) if isinstance(model, (str, Path)) else model
        self.contract = contract or read_contract(proto)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        fill = self.contract["fill"]
        self.fill = np.array([np.nan if value is None else value for value in fill], np.float32)

    def raw(self, rows: np.ndarray) -> np.ndarray:
        """One raw score a row, as f32; NaN where the model has none."""
        rows = as_rows(rows, width_of(self.contract))
        cells = rows.reshape(len(rows), *shape_of(self.contract))
        missing = np.isnan(cells)
        filled = np.where(missing, self.fill, cells)
        score = self.contract["score"]
        output = self.session.run([score["output"]], {self.input: filled})[0]
        if score["kind"] == "score":
            return output.reshape(len(rows)).astype(np.float32)
        if score["kind"] == "probability":
            return output[:, score["column"]].astype(np.float32)
        spread = np.asarray(score["spread"], np.float32).astype(np.float64)
        error = (filled.astype(np.float64) - output.reshape(filled.shape).astype(np.float64)) / spread
        squares = np.where(missing, 0.0, error * error).reshape(len(rows), -1)
        present = (~missing).reshape(len(rows), -1).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (squares.sum(axis=1) / present).astype(np.float32)

    def calibrated(self, raw: np.ndarray) -> np.ndarray:
        """1 - (1 + normal scores at least this high) / (n + 1): split conformal prediction."""
        calibration = self.contract["calibration"]
        quantiles, shares = np.array(calibration["quantiles"]), np.array(calibration["probabilities"])
        raw = raw.astype(np.float64)
        if self.contract["score"].get("higher_is") == "normal":
            raw, quantiles, shares = -raw, -quantiles[::-1], 1.0 - shares[::-1]
        following = np.searchsorted(quantiles, raw, side="left")
        inner = np.clip(following, 1, len(quantiles) - 1)
        low, high = quantiles[inner - 1], quantiles[inner]
        with np.errstate(invalid="ignore", divide="ignore"):
            between = shares[inner - 1] + (raw - low) / (high - low) * (shares[inner] - shares[inner - 1])
        below = np.where(following == 0, 0.0, np.where(following == len(quantiles), 1.0, between))
        count = calibration["count"]
        return (1.0 - (1.0 + count * (1.0 - below)) / (count + 1.0)).astype(np.float32)


def calibrate(raw: np.ndarray) -> dict:
    """Quantiles of raw scores of held-out normal readings. Beyond what so many readings can tell, none are written."""
    raw = np.sort(raw.astype(np.float64))
    probabilities = [p for p in PROBABILITIES if p in (0.0, 1.0) or (1.0 - p) * len(raw) >= 1.0]
    quantiles = np.quantile(raw, probabilities)
    return {"count": int(len(raw)), "quantiles": as_list(quantiles), "probabilities": probabilities}


def check(proto: onnx.ModelProto, contract: dict) -> None:
    """Refuses what Odograph would refuse, with a reason, before anything is written."""
    for key in ("name", "version"):
        if not contract[key].strip():
            raise ContractError(f"{key} is empty")
    features = contract["features"] if "features" in contract else contract["window"]["signals"]
    width = len(features)
    if width == 0 or len(set(features)) != width:
        raise ContractError("features: at least one name is needed, and each only once")
    if len(contract["fill"]) != width:
        raise ContractError(f"fill has {len(contract['fill'])} values for {width} features")
    initial = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in initial]
    if len(inputs) != 1:
        raise ContractError(f"the model takes {len(inputs)} inputs; exactly one is wanted")
    tensor = inputs[0].type.tensor_type
    shape = [dimension.dim_value if dimension.HasField("dim_value") else None for dimension in tensor.shape.dim]
    wanted = shape_of(contract)
    fits = len(shape) == 1 + len(wanted) and shape[0] is None and all(has in (None, wants) for has, wants in zip(shape[1:], wanted))
    if tensor.elem_type != onnx.TensorProto.FLOAT or not fits:
        raise ContractError(f"input {inputs[0].name!r} must be f32 [batch, {', '.join(map(str, wanted))}] with a dynamic batch, it is {shape}")
    score = contract["score"]
    outputs = [value.name for value in proto.graph.output]
    if score.get("output") not in outputs:
        raise ContractError(f"score: there is no output {score.get('output')!r}; the model has {outputs}")
    kind = score.get("kind")
    if kind == "reconstruction":
        spread = score.get("spread", [])
        if len(spread) != width or not all(np.isfinite(value) and value > 0 for value in spread):
            raise ContractError("score: a reconstruction needs spread, one finite number above zero per feature")
    elif kind == "probability":
        if "column" not in score:
            raise ContractError("score: a probability needs the column of the anomalous class")
    elif kind != "score":
        raise ContractError(f"score: kind {kind!r} is none of score, reconstruction, probability")


def shape_of(contract: dict) -> list[int]:
    """Of one row as the graph takes it."""
    return [len(contract["features"])] if "features" in contract else [contract["window"]["steps"], len(contract["window"]["signals"])]


def width_of(contract: dict) -> int:
    return int(np.prod(shape_of(contract)))


def histograms(values: np.ndarray) -> list[dict]:
    """Twenty bins of equal counts per column: what was usual, for explanations and for drift."""
    baseline = []
    for column in values.astype(np.float64).T:
        present = column[np.isfinite(column)]
        edges = np.unique(np.quantile(present, np.linspace(0, 1, 21)).astype(np.float32)) if len(present) else np.zeros(1, np.float32)
        if len(edges) < 2:
            edges = np.array([edges[0], edges[0]], np.float32)
        counts, _ = np.histogram(present, edges.astype(np.float64)) if edges[0] < edges[-1] else (np.array([len(present)]), None)
        missing = round(1 - len(present) / max(len(column), 1), 6)
        baseline.append({"edges": as_list(edges), "counts": [int(count) for count in counts], "missing": missing})
    return baseline


def as_rows(rows: np.ndarray, width: int) -> np.ndarray:
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ContractError(f"rows are {list(rows.shape)}; the contract makes them [rows, {width}]")
    return rows


def spread_out(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, count).astype(int)]


def as_list(values: np.ndarray) -> list[float]:
    """Shortest decimal forms that read back as the same numbers."""
    return [float(str(value)) for value in values]


def nulls_for_nan(rows: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(str(value)) for value in row] for row in rows]
