"""python -m unittest, in training/python. A model of one multiplication: raw score = first feature / 10."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from odograph_contract import ContractError, Scorer, read_contract, write_contract

FEATURES = ["speed_km_per_h", "coolant_temperature_celsius.slope_5m"]
NORMAL = np.column_stack([np.arange(1000) / 10, np.zeros(1000)]).astype(np.float32)


def a_model(batch="batch", kind=TensorProto.FLOAT):
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"])],
        "tenth",
        [helper.make_tensor_value_info("x", kind, [batch, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 1])],
        [numpy_helper.from_array(np.array([[0.1], [0.0]], np.float32), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


class WriteContract(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = Path(folder.name) / "out.onnx"

    def write(self, model=None, **changes):
        given = {"name": "tenth", "version": "1", "features": FEATURES, "score": {"kind": "score", "output": "y"},
                 "normal": NORMAL, "fill": [0.0, None]} | changes
        return write_contract(model or a_model(), self.out, **given)

    def test_what_is_written_is_read_back_and_scores_by_itself(self):
        written = self.write()
        self.assertEqual(read_contract(self.out), written)
        scorer = Scorer(self.out)
        np.testing.assert_allclose(scorer.raw(np.array([[50.0, 1.0], [np.nan, 1.0]])), [5.0, 0.0])
        golden = np.array(written["golden"]["rows"], np.float32)
        np.testing.assert_array_equal(scorer.raw(golden), np.array(written["golden"]["raw"], np.float32))

    def test_a_score_is_the_share_of_normal_readings_below(self):
        self.write()
        scorer = Scorer(self.out)
        np.testing.assert_allclose(scorer.calibrated(np.array([-1.0, 4.995, 99.0], np.float32)), [0.0, 0.5, 1 - 1 / 1001], atol=2e-3)

    def test_the_reconstruction_error_counts_present_features_only(self):
        score = {"kind": "reconstruction", "output": "z", "spread": [2.0, 1.0]}
        model = a_model()
        model.graph.node.append(helper.make_node("Sub", ["x", "x"], ["z"]))
        model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 2]))
        self.write(model, score=score, fill=[0.0, 0.0])
        raw = Scorer(self.out).raw(np.array([[4.0, 2.0], [4.0, np.nan], [np.nan, np.nan]]))
        np.testing.assert_array_equal(raw, np.array([4.0, 4.0, np.nan], np.float32))

    def test_what_odograph_would_refuse_is_refused_before_it_is_written(self):
        for reason, changes in {
            "name is empty": {"name": " "},
            "each only once": {"features": [FEATURES[0]] * 2},
            "dynamic batch": {"model": a_model(batch=1)},
            "must be f32": {"model": a_model(kind=TensorProto.DOUBLE)},
            "there is no output 'z'": {"score": {"kind": "score", "output": "z"}},
            "needs spread": {"score": {"kind": "reconstruction", "output": "y"}},
            "too few to calibrate": {"normal": NORMAL[:50]},
            "fill has 1 values": {"fill": [0.0]},
        }.items():
            with self.assertRaisesRegex(ContractError, reason):
                self.write(**changes)
            self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main()
