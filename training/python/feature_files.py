"""Reads what `odograph features export` writes, Parquet or CSV: ids, moments and f32 features, NaN where missing; and which rows Odograph scores."""

from __future__ import annotations

import csv
import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)
# How far back the gate of a contract looks at least.
SPAN_MICROS = 600_000_000


@dataclass
class FeatureTable:
    vehicle_id: np.ndarray  # of str
    recorded_at: np.ndarray  # int64, UTC microseconds
    names: list[str]
    rows: np.ndarray  # f32 [rows, names]

    def __len__(self) -> int:
        return len(self.recorded_at)

    def select(self, chosen: np.ndarray) -> FeatureTable:
        return FeatureTable(self.vehicle_id[chosen], self.recorded_at[chosen], self.names, self.rows[chosen])

    def columns(self, names: list[str]) -> FeatureTable:
        """The same rows with these features, in this order."""
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise SystemExit(f"the features file has no {', '.join(unknown)}; it has {', '.join(self.names)}")
        order = [self.names.index(name) for name in names]
        return FeatureTable(self.vehicle_id, self.recorded_at, list(names), np.ascontiguousarray(self.rows[:, order]))

    def content_hash(self) -> str:
        """Of ids, moments and numbers: the same for Parquet and CSV."""
        digest = hashlib.sha256()
        digest.update("\n".join([*self.names, *self.vehicle_id.tolist()]).encode())
        digest.update(self.recorded_at.astype("<i8").tobytes())
        digest.update(np.where(np.isnan(self.rows), np.float32("nan"), self.rows).astype("<f4").tobytes())
        return digest.hexdigest()


def read_features(path) -> FeatureTable:
    path = Path(path)
    return read_parquet(path) if path.suffix == ".parquet" else read_csv(path)


def read_parquet(path: Path) -> FeatureTable:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    names = [name for name in table.column_names if name not in ("vehicle_id", "recorded_at")]
    rows = np.empty((table.num_rows, len(names)), np.float32)
    for index, name in enumerate(names):
        rows[:, index] = table[name].to_numpy(zero_copy_only=False)
    moments = table["recorded_at"].cast(pyarrow.int64()).to_numpy()
    return FeatureTable(np.array(table["vehicle_id"].to_pylist(), dtype=object), moments, names, rows)


def read_csv(path: Path) -> FeatureTable:
    with open(path, newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        lines = list(reader)
    ids = np.array([line[0] for line in lines], dtype=object)
    moments = np.array([to_micros(line[1]) for line in lines], np.int64)
    rows = np.array([[np.nan if cell == "" else np.float32(cell) for cell in line[2:]] for line in lines], np.float32)
    return FeatureTable(ids, moments, header[2:], rows.reshape(len(lines), len(header) - 2))


def to_micros(text: str) -> int:
    """UTC microseconds of an RFC 3339 time."""
    return (datetime.datetime.fromisoformat(text) - EPOCH) // MICROSECOND


def day_of(micros: int) -> str:
    return (EPOCH + int(micros) * MICROSECOND).date().isoformat()


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
