"""Makes the tiny ONNX files of the tests, beside this script. Needs numpy and onnx 1.19: `python tests/models/make.py`.

The answers of every file are computed here with numpy, not with ONNX Runtime: golden rows are a second opinion.
"""

import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
FEATURES = ["speed_km_per_h", "engine_speed_rpm", "coolant_temperature_celsius", "coolant_temperature_celsius.mean_5m"]
WIDTH = len(FEATURES)
SPREAD = [20.0, 500.0, 10.0, 5.0]


def contract(score, golden_raw=0.0, **changes):
    keys = {
        "contract": "1",
        "name": "test",
        "version": "1",
        "description": "made by tests/models/make.py",
        "features": FEATURES,
        "fill": [50.0, 2000.0, 90.0, 90.0],
        "requires": {"min_readings": 1, "max_missing": 3},
        "score": score,
        "calibration": {"count": 999, "quantiles": [0.0, 0.5, 1.0, 2.0, 4.0]},
        "golden": {"rows": [[50.0, 2000.0, 90.0, 90.0]], "raw": [golden_raw]},
    } | changes
    return {f"odograph.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in keys.items() if value is not None}


def save(name, nodes, outputs, metadata, initializers=(), batch="batch", width=WIDTH, dtype=TensorProto.FLOAT, imports=()):
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info("features", dtype, [batch, width])], outputs, list(initializers))
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in imports)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="odograph tests")
    helper.set_model_props(model, metadata)
    onnx.save(model, HERE / f"{name}.onnx")
    return model


def out(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def tensor(name, values):
    return numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)


# An autoencoder that lets through what lies along one direction: x^ = mean + W (x - mean).
MEAN = np.array([50.0, 2000.0, 90.0, 90.0], dtype=np.float32)
rng = np.random.default_rng(7)
direction = rng.normal(size=WIDTH).astype(np.float32)
direction /= np.linalg.norm(direction)
WEIGHTS = np.outer(direction, direction).astype(np.float32)


def reconstruct_error(row, fill):
    present = np.array([value is not None for value in row])
    filled = np.array([value if value is not None else fill[i] for i, value in enumerate(row)], dtype=np.float32)
    again = MEAN + (filled - MEAN) @ WEIGHTS
    errors = ((filled - again) / np.array(SPREAD)) ** 2
    return float(errors[present].mean())


GOLDEN_ROWS = [[50.0, 2000.0, 90.0, 90.0], [80.0, 2500.0, 95.0, 92.0], [0.0, 800.0, 110.0, 100.0], [63.0, None, 91.0, None]]
GOLDEN = {"rows": GOLDEN_ROWS, "raw": [reconstruct_error(row, MEAN) for row in GOLDEN_ROWS], "tolerance": 1e-4}
RECONSTRUCTION = {"kind": "reconstruction", "output": "again", "spread": SPREAD}


def autoencoder(name, **arguments):
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("MatMul", ["centred", "weights"], ["projected"]),
        helper.make_node("Add", ["projected", "mean"], ["again"]),
    ]
    batch = arguments.get("batch", "batch")
    return save(name, nodes, [out("again", [batch, WIDTH])], initializers=[tensor("mean", MEAN), tensor("weights", WEIGHTS)], **arguments)


autoencoder("autoencoder", metadata=contract(RECONSTRUCTION, name="autoencoder", golden=GOLDEN))
autoencoder("wrong_golden", metadata=contract(RECONSTRUCTION, golden=GOLDEN | {"raw": [*GOLDEN["raw"][:2], GOLDEN["raw"][2] + 0.5, GOLDEN["raw"][3]]}))
autoencoder("fixed_batch", metadata=contract(RECONSTRUCTION), batch=1)
autoencoder("unknown_output", metadata=contract(RECONSTRUCTION | {"output": "agian"}))
autoencoder("no_contract", metadata={})

# The size that FACTS measured: 20 features, layers 20-8-4-8-20, for the benchmark of a lane.
SIGNALS = ["speed_km_per_h", "engine_speed_rpm", "engine_load_percent", "coolant_temperature_celsius", "oil_temperature_celsius"]
WIDE_FEATURES = [f"{signal}{statistic}" for signal in SIGNALS for statistic in ["", ".mean_5m", ".std_5m", ".slope_5m"]]
layers, last = [], "features"
wide_initializers = []
for number, (rows, columns) in enumerate([(20, 8), (8, 4), (4, 8), (8, 20)]):
    wide_initializers.append(tensor(f"w{number}", rng.normal(size=(rows, columns), scale=0.1)))
    wide_initializers.append(tensor(f"b{number}", rng.normal(size=columns, scale=0.1)))
    layers.append(helper.make_node("Gemm", [last, f"w{number}", f"b{number}"], [f"z{number}"]))
    last = f"z{number}"
    if number < 3:
        layers.append(helper.make_node("Relu", [last], [f"a{number}"]))
        last = f"a{number}"


def wide_error(row):
    activation = np.array(row, dtype=np.float32)
    for number in range(4):
        weights, bias = (numpy_helper.to_array(wide_initializers[2 * number + part]) for part in (0, 1))
        activation = activation @ weights + bias
        activation = np.maximum(activation, 0) if number < 3 else activation
    return float(((np.array(row) - activation) ** 2).mean())


wide_rows = [[0.0] * 20, [float(column) for column in range(20)]]
save("wide_autoencoder", layers, [out(last, ["batch", 20])],
     contract({"kind": "reconstruction", "output": last, "spread": [1.0] * 20}, name="wide_autoencoder", features=WIDE_FEATURES,
              fill=[0.0] * 20, requires={"min_readings": 3, "max_missing": 10},
              golden={"rows": wide_rows, "raw": [wide_error(row) for row in wide_rows]}), wide_initializers, width=20)

# Kind score: the mean of the features relative to MEAN, shape [batch, 1]; higher is normal in the second file.
SCORE_NODES = [
    helper.make_node("Div", ["features", "mean"], ["relative"]),
    helper.make_node("ReduceMean", ["relative"], ["score"], axes=[1], keepdims=1),
]
score_rows = [[50.0, 2000.0, 90.0, 90.0], [100.0, 4000.0, 180.0, 180.0]]
score_golden = {"rows": score_rows, "raw": [1.0, 2.0]}
SCORE = {"kind": "score", "output": "score", "higher_is": "anomalous"}
save("score", SCORE_NODES, [out("score", ["batch", 1])], contract(SCORE, name="score", golden=score_golden), [tensor("mean", MEAN)])
save("score_higher_is_normal", SCORE_NODES, [out("score", ["batch", 1])],
     contract(SCORE | {"higher_is": "normal"}, golden=score_golden), [tensor("mean", MEAN)])

# Two classes, as classifiers give them; column 1 is the anomalous one.
save("probability", [
    helper.make_node("Gather", ["features", "first"], ["speed"], axis=1),
    helper.make_node("Div", ["speed", "scale"], ["scaled"]),
    helper.make_node("Sigmoid", ["scaled"], ["anomalous"]),
    helper.make_node("Sub", ["one", "anomalous"], ["normal"]),
    helper.make_node("Concat", ["normal", "anomalous"], ["probabilities"], axis=1),
], [out("probabilities", ["batch", 2])],
    contract({"kind": "probability", "output": "probabilities", "column": 1}, name="probability", calibration=None,
             golden={"rows": [[0.0, 0.0, 0.0, 0.0]], "raw": [0.5]}),
    [numpy_helper.from_array(np.array([0], dtype=np.int64), "first"), tensor("scale", [100.0]), tensor("one", [1.0])])

# Gives NaN (log of a negative number) for every vehicle slower than 10 km/h.
save("nan", [
    helper.make_node("Gather", ["features", "first"], ["speed"], axis=1),
    helper.make_node("Sub", ["speed", "ten"], ["above"]),
    helper.make_node("Log", ["above"], ["score"]),
], [out("score", ["batch", 1])], contract(SCORE, float(np.log(40.0)), name="nan"),
    [numpy_helper.from_array(np.array([0], dtype=np.int64), "first"), tensor("ten", [10.0])])

# Fails at run time: takes the element that the speed names from a list of 200; faster than that, the run ends with an error.
save("fails_when_fast", [
    helper.make_node("Gather", ["features", "first"], ["speed"], axis=1),
    helper.make_node("Cast", ["speed"], ["index"], to=TensorProto.INT64),
    helper.make_node("Gather", ["list", "index"], ["score"], axis=0),
], [out("score", ["batch", 1])], contract(SCORE, 50 / 199, name="fails_when_fast"),
    [numpy_helper.from_array(np.array([0], dtype=np.int64), "first"), tensor("list", np.linspace(0, 1, 200))])

# Counts to exp(speed / 10) in a loop: at once up to 100 km/h, for hours at 250.
body = helper.make_graph(
    [helper.make_node("Identity", ["going"], ["goes_on"]), helper.make_node("Add", ["count", "loop_one"], ["next_count"])],
    "body",
    [helper.make_tensor_value_info("turn", TensorProto.INT64, []), helper.make_tensor_value_info("going", TensorProto.BOOL, []),
     helper.make_tensor_value_info("count", TensorProto.FLOAT, [1])],
    [helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []), helper.make_tensor_value_info("next_count", TensorProto.FLOAT, [1])],
)
save("endless_when_fast", [
    helper.make_node("Gather", ["features", "first"], ["speed"], axis=1),
    helper.make_node("ReduceMax", ["speed"], ["fastest"], keepdims=0),
    helper.make_node("Div", ["fastest", "ten"], ["tenth"]),
    helper.make_node("Exp", ["tenth"], ["turns"]),
    helper.make_node("Cast", ["turns"], ["trips"], to=TensorProto.INT64),
    helper.make_node("Loop", ["trips", "yes", "zero"], ["counted"], body=body),
    helper.make_node("Mul", ["counted", "zero"], ["nothing"]),
    helper.make_node("Div", ["speed", "fifty"], ["relative"]),
    helper.make_node("Add", ["relative", "nothing"], ["score"]),
], [out("score", ["batch", 1])], contract(SCORE, 1.0, name="endless_when_fast"), [
    numpy_helper.from_array(np.array([0], dtype=np.int64), "first"), numpy_helper.from_array(np.array(10.0, np.float32), "ten"),
    tensor("fifty", [50.0]), tensor("zero", [0.0]), tensor("loop_one", [1.0]), numpy_helper.from_array(np.array(True), "yes")])

# A window model: what is reconstructed is the mean over the steps, so that the score is how much the signals moved.
WINDOW = {"steps": 4, "signals": ["speed_km_per_h", "coolant_temperature_celsius"], "step": "30s", "max_age": "60s"}
window_rows = [[50.0, 90.0] * 4, [10.0, 90.0, 20.0, 90.0, 30.0, 90.0, 40.0, None]]
WINDOW_FILL, WINDOW_SPREAD = [0.0, 90.0], [10.0, 5.0]


def window_error(row):
    cells = np.array([[np.nan if value is None else value for value in row]]).reshape(4, 2)
    filled = np.where(np.isnan(cells), WINDOW_FILL, cells)
    return float(np.nanmean(np.where(np.isnan(cells), np.nan, ((filled - filled.mean(axis=0)) / WINDOW_SPREAD) ** 2)))


window_graph = helper.make_graph(
    [helper.make_node("ReduceMean", ["window"], ["mean"], axes=[1], keepdims=1),
     helper.make_node("Add", ["mean", "nothing"], ["again"])],
    "window",
    [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["batch", 4, 2])], [out("again", ["batch", 4, 2])],
    [tensor("nothing", np.zeros((1, 4, 2)))])
window_model = helper.make_model(window_graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="odograph tests")
helper.set_model_props(window_model, contract(
    {"kind": "reconstruction", "output": "again", "spread": WINDOW_SPREAD}, name="window", features=None, window=WINDOW,
    fill=WINDOW_FILL, requires={"min_readings": 3, "max_missing": 3}, alert={"open": 4.0, "close": 1.0, "raised": 1, "of": 1},
    golden={"rows": window_rows, "raw": [window_error(row) for row in window_rows]}))
onnx.save(window_model, HERE / "window.onnx")

# The speed as it came, so that a test sees what was served.
save("echo", [helper.make_node("Identity", ["features"], ["score"])], [out("score", ["batch", 1])],
     contract(SCORE, 50.0, name="echo", features=["speed_km_per_h"], fill=[None], requires={"max_missing": 1},
              golden={"rows": [[50.0]], "raw": [50.0]}), width=1)

# A list of maps, as scikit-learn's converter gives classes.
save("zipmap", [
    helper.make_node("Sigmoid", ["features"], ["probabilities"]),
    helper.make_node("ZipMap", ["probabilities"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3]),
], [helper.make_value_info("maps", helper.make_sequence_type_proto(helper.make_map_type_proto(
    TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))))],
    contract({"kind": "probability", "output": "maps", "column": 1}, calibration=None), imports=["ai.onnx.ml"])

# Shapes that do not keep the contract.
save("too_wide", [helper.make_node("ReduceMean", ["features"], ["score"], axes=[1], keepdims=1)],
     [out("score", ["batch", 1])], contract(SCORE), width=WIDTH + 1)
save("double_input", [helper.make_node("ReduceMean", ["features"], ["score"], axes=[1], keepdims=1)],
     [out("score", ["batch", 1], TensorProto.DOUBLE)], contract(SCORE), dtype=TensorProto.DOUBLE)
save("one_score_for_all", [helper.make_node("ReduceMean", ["features"], ["score"], keepdims=0)], [out("score", [])], contract(SCORE))

# Not safe to load.
model = autoencoder("external_data", metadata=contract(RECONSTRUCTION))
weights = model.graph.initializer[1]
weights.ClearField("raw_data")
weights.data_location = TensorProto.EXTERNAL
entry = weights.external_data.add()
entry.key, entry.value = "location", "../../../../../../etc/passwd"
(HERE / "external_data.onnx").write_bytes(model.SerializeToString())
save("custom_operator", [helper.make_node("Run", ["features"], ["score"], domain="com.example")],
     [out("score", ["batch", 1])], contract(SCORE), imports=["com.example"])

for path in sorted(HERE.glob("*.onnx")):
    assert path.stat().st_size < 10_000, path
    print(f"{path.stat().st_size:6} {path.name}")
