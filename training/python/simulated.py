"""What the trainers of the fleet models share: tables of a simulated healthy fleet, split by seed, and what their contracts say of them.

    odograph simulate --vehicles 120 --every 30s --seconds 604800 --seed 11 --faults none --out healthy_11.parquet
    odograph features export healthy_11.parquet --columns odograph --features @features.json --out features_11.parquet

Seeds below 1000 are for training and tuning; seeds from 1000 on are only for final measurements.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from pathlib import Path

import numpy as np
import onnx

from alert_limits import day_maxima, limit_for
from feature_files import FeatureTable, day_of, read_features
from odograph_contract import write_contract

# What the alerts of one model may cost: the budget of CONTRACTS is 2 per 1,000 vehicle-days for all of them.
BUDGET_PER_VEHICLE_DAY = 0.0005


def parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--held-out", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--out", required=True, metavar="FILE.onnx")
    parser.add_argument("--seed", type=int, default=7)
    return parser


def read(paths: list[str], names: list[str] | None = None) -> list[FeatureTable]:
    tables = [read_features(path) for path in paths]
    return [table.columns(names or tables[0].names) for table in tables]


def alert_of(tables: list[FeatureTable], scores: list[np.ndarray], raised: int, of: int) -> tuple[dict, dict]:
    """Limits from healthy fleets that nothing was fitted to, and how they came to be."""
    maxima = np.concatenate([
        day_maxima(table.vehicle_id, table.recorded_at, raw, raised, of) for table, raw in zip(tables, scores)
    ])
    opens, is_extrapolated = limit_for(maxima, BUDGET_PER_VEHICLE_DAY)
    # An alert is held down to what every other healthy day reaches.
    closes = min(float(np.quantile(maxima, 0.5)), opens)
    alert = {"open": rounded(opens), "close": rounded(closes), "raised": raised, "of": of, "calm_for": "10m", "calm_readings": 5}
    told = {"vehicle_days": len(maxima), "largest": rounded(maxima.max()), "budget_per_vehicle_day": BUDGET_PER_VEHICLE_DAY,
            "is_extrapolated": is_extrapolated}
    return alert, told


def rounded(value: float) -> float:
    return float(f"{value:.6g}")


def write(proto: onnx.ModelProto, arguments: argparse.Namespace, train: list[FeatureTable], held_out: list[FeatureTable], *,
          alert: dict, told: dict, tool: str, versions: dict | None = None, measured: dict, **contract) -> None:
    """Writes the model with its contract and says what came of it. `told`: how the alert's limits came to be."""
    out = Path(arguments.out)
    written = write_contract(
        proto,
        out,
        author="Odograph",
        license="Apache-2.0; trained on Odograph's own simulator",
        alert=alert,
        normal=np.concatenate([table.rows for table in held_out]),
        training={
            "data_sha256": [table.content_hash() for table in [*train, *held_out]],
            "rows": sum(map(len, train)),
            "rows_calibration": sum(map(len, held_out)),
            "period": [day_of(min(t.recorded_at.min() for t in train)), day_of(max(t.recorded_at.max() for t in train))],
            "alert": told,
            "seed": arguments.seed,
            "tool": f"training/python/{tool}",
            "versions": {"python": platform.python_version(), "numpy": np.__version__, "onnx": onnx.__version__, **(versions or {})},
        },
        **contract,
    )
    print(json.dumps({
        "file": str(out),
        "bytes": out.stat().st_size,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "alert": written.get("alert"),
        "rows_calibration": written["calibration"]["count"],
        "alert_from": told,
        **measured,
    }, indent=1))
