"""What the trainers of the fleet models share: tables of a simulated healthy fleet, split by seed, and the gate of a contract.

    odograph simulate --vehicles 120 --every 30s --seconds 604800 --seed 11 --faults none --out healthy_11.parquet
    odograph features export healthy_11.parquet --columns odograph --features @features.json --out features_11.parquet

Seeds below 1000 are for training and tuning; seeds from 1000 on are only for final measurements.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path

import numpy as np

from alert_limits import day_maxima, limit_for
from feature_files import EPOCH, MICROSECOND, FeatureTable, read_features

SPAN_MICROS = 600_000_000
# What the alerts of one model may cost: the budget of CONTRACTS is 2 per 1,000 vehicle-days for all of them.
BUDGET_PER_VEHICLE_DAY = 0.0005


def read(paths: list[str], names: list[str] | None = None) -> list[FeatureTable]:
    tables = [read_features(path) for path in paths]
    return [table.columns(names or tables[0].names) for table in tables]


def meets(table: FeatureTable, requires: dict, reach_micros: int = SPAN_MICROS) -> np.ndarray:
    """Which rows Odograph scores: the same gate as `requires` of the contract."""
    meets = np.isnan(table.rows).sum(axis=1) <= requires["max_missing"]
    reach, max_gap = max(reach_micros, SPAN_MICROS), seconds_of(requires["max_gap"]) * 1_000_000
    order = np.lexsort((table.recorded_at, table.vehicle_id.astype(str)))
    ids, times = table.vehicle_id[order].astype(str), table.recorded_at[order]
    begins = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    for begin, end in zip(begins, [*begins[1:], len(ids)]):
        own = times[begin:end]
        first = np.searchsorted(own, own - reach, side="right")
        place = np.arange(len(own))
        too_long = np.concatenate([[False], np.diff(own) > max_gap])
        last_end = np.maximum.accumulate(np.where(too_long, place, 0))
        fits = (place + 1 - first >= requires["min_readings"]) & ~((last_end > first) & (last_end > 0)) & (place > first)
        meets[order[begin:end]] &= fits
    return meets


def seconds_of(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


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


def day_of(micros: int) -> str:
    return (EPOCH + int(micros) * MICROSECOND).date().isoformat()


def training_of(train: list[FeatureTable], held_out: list[FeatureTable], **more) -> dict:
    return {
        "data_sha256": [table.content_hash() for table in [*train, *held_out]],
        "rows": sum(map(len, train)),
        "rows_calibration": sum(map(len, held_out)),
        "period": [day_of(min(t.recorded_at.min() for t in train)), day_of(max(t.recorded_at.max() for t in train))],
        **more,
    }


def finish(out: Path, contract: dict, more: dict) -> None:
    print(json.dumps({
        "file": str(out),
        "bytes": out.stat().st_size,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "alert": contract.get("alert"),
        "rows_calibration": contract["calibration"]["count"],
        **more,
    }, indent=1))
