"""Trains the isolation forest of a simulated healthy fleet and writes it as ONE TreeEnsembleRegressor with its contract.

    python train_isolation_forest.py --train features_11.parquet --held-out features_12.parquet features_13.parquet \
        --names models/fleet_isolation_forest/features.json --out models/fleet_isolation_forest/fleet_isolation_forest.onnx

The graph of skl2onnx is 8 to 250 times slower: it walks every tree as an ensemble of its own. Here a leaf weighs its depth plus
c(samples in it), the ensemble sums over the trees, and Mul, Exp, Sub make of it 2^(-mean depth / c(samples)) - 0.5, which is
scikit-learn's -decision_function. Thresholds are f64 in scikit-learn and f32 in ONNX: rounded towards -infinity, so that an f32 value
takes the same branch.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import sklearn
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import IsolationForest
from sklearn.ensemble._iforest import _average_path_length

import simulated
from feature_files import meets
from odograph_contract import Scorer

NAME = "fleet_isolation_forest"
VERSION = "1"
TREES, SAMPLES = 50, 256
REQUIRES = {"min_readings": 8, "max_missing": 4, "max_gap": "3m"}
# Everything beyond is as odd as this: what never occurred in training says nothing about how odd it is.
CUT = 12.0
RAISED, OF = 6, 10


def main() -> None:
    parser = simulated.parser(__doc__)
    parser.add_argument("--names", required=True, metavar="FILE", help='JSON {"features": […]}')
    arguments = parser.parse_args()
    names = json.loads(Path(arguments.names).read_text())["features"]
    train, held_out = simulated.read(arguments.train, names), simulated.read(arguments.held_out, names)
    train = [table.select(meets(table, REQUIRES)) for table in train]
    held_out = [table.select(meets(table, REQUIRES)) for table in held_out]
    rows = np.concatenate([table.rows for table in train])
    fill = np.nanmedian(rows, axis=0).astype(np.float32)
    filled = np.where(np.isnan(rows), fill, rows)
    middle, spread = fill.astype(np.float64), spread_of(filled)
    forest = IsolationForest(n_estimators=TREES, max_samples=SAMPLES, random_state=arguments.seed)
    forest.fit(scaled(filled, middle, spread))
    proto = build_graph(forest, middle, spread, filled.shape[1])
    score = {"kind": "score", "output": "score", "higher_is": "anomalous"}
    scorer = Scorer(proto, {"features": names, "fill": fill.tolist(), "score": score})
    scores = [scorer.raw(table.rows) for table in held_out]
    alert, told = simulated.alert_of(held_out, scores, RAISED, OF)
    worst = equal_to_scikit_learn(forest, scorer, held_out[0].rows[:: max(1, len(held_out[0]) // 20_000)], fill, middle, spread)
    simulated.write(
        proto, arguments, train, held_out, alert=alert, told=told, tool="train_isolation_forest.py",
        versions={"scikit-learn": sklearn.__version__},
        name=NAME,
        version=VERSION,
        description=f"Isolation forest of {TREES} trees over how far engine, cooling, air path, battery and tyres are from the vehicle's own normal.",
        features=names,
        fill=[float(value) for value in fill],
        requires=REQUIRES,
        score=score,
        measured={"largest_difference_from_scikit_learn": worst},
    )


def spread_of(rows: np.ndarray) -> np.ndarray:
    """Half of what 90 % of the rows span; the deviation where they hardly move."""
    low, high = np.quantile(rows.astype(np.float64), [0.05, 0.95], axis=0)
    return np.maximum((high - low) / 2, np.maximum(0.1 * rows.std(axis=0, dtype=np.float64), 1e-6))


def scaled(rows: np.ndarray, middle: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """In f32, with the operations of the graph in its order."""
    centred = rows.astype(np.float32) - middle.astype(np.float32)
    return np.clip(centred * (1 / spread).astype(np.float32), np.float32(-CUT), np.float32(CUT))


def build_graph(forest: IsolationForest, middle: np.ndarray, spread: np.ndarray, width: int) -> onnx.ModelProto:
    nodes = {key: [] for key in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")}
    leaves = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    for number, (estimator, columns) in enumerate(zip(forest.estimators_, forest.estimators_features_)):
        tree = estimator.tree_
        depth = depths(tree)
        path = depth + _average_path_length(tree.n_node_samples)
        for node in range(tree.node_count):
            is_leaf = tree.children_left[node] == -1
            nodes["treeids"].append(number)
            nodes["nodeids"].append(node)
            nodes["featureids"].append(0 if is_leaf else int(columns[tree.feature[node]]))
            nodes["values"].append(0.0 if is_leaf else float(rounded_down(tree.threshold[node])))
            nodes["modes"].append("LEAF" if is_leaf else "BRANCH_LEQ")
            nodes["truenodeids"].append(0 if is_leaf else int(tree.children_left[node]))
            nodes["falsenodeids"].append(0 if is_leaf else int(tree.children_right[node]))
            if is_leaf:
                leaves["treeids"].append(number)
                leaves["nodeids"].append(node)
                leaves["ids"].append(0)
                leaves["weights"].append(float(path[node]))
    ensemble = helper.make_node(
        "TreeEnsembleRegressor", ["cut"], ["depth"], domain="ai.onnx.ml", n_targets=1, aggregate_function="SUM",
        post_transform="NONE",
        **{f"nodes_{key}": value for key, value in nodes.items()},
        **{f"target_{key}": value for key, value in leaves.items()},
    )
    usual = len(forest.estimators_) * _average_path_length([forest.max_samples_])[0]
    constants = {"middle": middle, "share": 1 / spread, "low": np.array(-CUT), "high": np.array(CUT),
                 "factor": np.array(-np.log(2) / usual), "half": np.array(0.5)}
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["features", "middle"], ["centred"]),
            helper.make_node("Mul", ["centred", "share"], ["scaled"]),
            helper.make_node("Clip", ["scaled", "low", "high"], ["cut"]),
            ensemble,
            helper.make_node("Mul", ["depth", "factor"], ["exponent"]),
            helper.make_node("Exp", ["exponent"], ["oddness"]),
            helper.make_node("Sub", ["oddness", "half"], ["score"]),
        ],
        NAME,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="odograph training")
    model.ir_version = 8
    return model


def depths(tree) -> np.ndarray:
    depth = np.zeros(tree.node_count)
    # Children have higher numbers than their parents.
    for node in range(tree.node_count):
        for child in (tree.children_left[node], tree.children_right[node]):
            if child != -1:
                depth[child] = depth[node] + 1
    return depth


def rounded_down(threshold: float) -> np.float32:
    nearest = np.float32(threshold)
    return nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf))


def equal_to_scikit_learn(forest, scorer, rows, fill, middle, spread) -> float:
    filled = np.where(np.isnan(rows), fill, rows)
    # -decision_function where contamination is "auto": offset_ is -0.5.
    expected = -forest.score_samples(scaled(filled, middle, spread)) - 0.5
    worst = float(np.abs(scorer.raw(rows) - expected).max())
    if worst > 1e-6:
        raise SystemExit(f"the graph differs from scikit-learn by {worst}")
    return worst


if __name__ == "__main__":
    main()
