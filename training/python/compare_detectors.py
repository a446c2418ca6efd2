"""Isolation forest (scikit-learn) and a per-signal 3-sigma rule on the files that `odograph model evaluate` reads, counted in its way.

Both get what a data scientist would try first: the signals of each reading, standardised per kind of vehicle, from a healthy fleet.
Persistence is that of model alerts (3 of 5 readings, closed after 5 calm minutes); limits are set on healthy vehicle-days that neither
was fitted on, so that 2 per 1,000 of them alert. Usage:

    python compare_detectors.py --healthy healthy.parquet --calibration healthy2.parquet --labelled faults.parquet
"""

import argparse
import collections
import json

import numpy as np
import pyarrow.parquet as parquet
from sklearn.ensemble import IsolationForest

GRACE_S = 600
AFTER_EFFECTS_S = 7_200
RAISED, OF, CALM_S = 3, 5, 300
BUDGET_PER_1000_VEHICLE_DAYS = 2
NOT_SIGNALS = {"vehicle_id", "recorded_at", "latitude", "longitude", "altitude_m", "heading_deg", "accuracy_m", "odometer_m", "ignition",
               "fault", "severity"}


def read(path):
    table = parquet.read_table(path)
    names = [name for name in table.column_names if name not in NOT_SIGNALS]
    values = np.column_stack([table[name].to_numpy(zero_copy_only=False).astype(np.float32) for name in names])
    vehicles = np.asarray(table["vehicle_id"].to_pylist())
    order = np.lexsort((table["recorded_at"].to_numpy().astype("int64"), vehicles))
    seconds = table["recorded_at"].to_numpy().astype("datetime64[us]").astype("int64") / 1e6
    faults = np.asarray([fault or "" for fault in table["fault"].to_pylist()])
    return {"names": names, "values": values[order], "vehicles": vehicles[order], "seconds": seconds[order], "faults": faults[order]}


def spans(vehicles):
    edges = np.flatnonzero(vehicles[1:] != vehicles[:-1]) + 1
    return zip(np.concatenate([[0], edges]), np.concatenate([edges, [len(vehicles)]]))


def kind(vehicle):
    return vehicle.rsplit("-", 1)[0]


class Standard:
    """Mean and spread per kind of vehicle; what a vehicle lacks is zero."""

    def __init__(self, data):
        kinds = np.asarray([kind(vehicle) for vehicle in data["vehicles"]])
        self.of = {}
        for name in np.unique(kinds):
            rows = data["values"][kinds == name]
            with np.errstate(all="ignore"):
                self.of[name] = (np.nanmean(rows, axis=0), np.nanstd(rows, axis=0))

    def apply(self, data):
        out = np.zeros_like(data["values"])
        for begin, end in spans(data["vehicles"]):
            mean, spread = self.of[kind(data["vehicles"][begin])]
            out[begin:end] = np.nan_to_num((data["values"][begin:end] - mean) / np.where(spread > 1e-6, spread, 1.0))
        return out


def openings(raised, seconds):
    """Indices at which an alert opens."""
    recent = np.convolve(raised, np.ones(OF), "full")[: len(raised)]
    candidates = np.flatnonzero(recent >= RAISED)
    opened = []
    last_raised = -np.inf
    at = np.flatnonzero(raised)
    for index in candidates:
        if seconds[index] - last_raised > CALM_S or not opened:
            opened.append(index)
        upto = at[np.searchsorted(at, index, "right") - 1]
        last_raised = seconds[upto]
    return opened


def day_maxima(scores, data):
    """Of each vehicle-day the highest limit at which it would alert: the third highest of five readings, at its highest."""
    maxima = []
    for begin, end in spans(data["vehicles"]):
        days = (data["seconds"][begin:end] // 86_400).astype(int)
        for day in np.unique(days):
            own = scores[begin:end][days == day]
            if len(own) >= OF:
                windows = np.sort(np.lib.stride_tricks.sliding_window_view(own, OF), axis=1)
                maxima.append(windows[:, OF - RAISED].max())
    return np.asarray(maxima)


def count(scores, limit, data):
    kinds = collections.defaultdict(lambda: [0, 0, []])
    false = 0
    days = 0.0
    for begin, end in spans(data["vehicles"]):
        seconds, faults = data["seconds"][begin:end], data["faults"][begin:end]
        opened = openings(scores[begin:end] > limit, seconds)
        edges = np.flatnonzero(faults[1:] != faults[:-1]) + 1
        episodes = [(a, b - 1) for a, b in zip(np.concatenate([[0], edges]), np.concatenate([edges, [len(faults)]])) if faults[a]]
        days += (seconds[-1] - seconds[0]) / 86_400
        for first, last in episodes:
            days -= min(seconds[last] + AFTER_EFFECTS_S - seconds[first], seconds[-1] - seconds[first]) / 86_400
            found = [index for index in opened if seconds[first] <= seconds[index] <= seconds[last] + GRACE_S]
            entry = kinds[faults[first]]
            entry[0] += 1
            if found:
                entry[1] += 1
                entry[2].append(int(found[0] - first))
        for index in opened:
            about = any(seconds[first] <= seconds[index] <= seconds[last] + AFTER_EFFECTS_S for first, last in episodes)
            false += not about
    return {
        "kinds": {name: {"episodes": n, "recall": found / n, "median_delay_readings": int(np.median(delays)) if delays else None}
                  for name, (n, found, delays) in sorted(kinds.items())},
        "false_alerts": false,
        "vehicle_days": days,
        "false_alerts_per_1000_vehicle_days": 1_000 * false / days,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("healthy", "calibration", "labelled"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    healthy, calibration, labelled = (read(path) for path in (arguments.healthy, arguments.calibration, arguments.labelled))
    standard = Standard(healthy)
    fitted = standard.apply(healthy)
    rows = np.random.default_rng(1).choice(len(fitted), min(len(fitted), 200_000), replace=False)
    forest = IsolationForest(n_estimators=100, max_samples=256, random_state=1).fit(fitted[rows])
    detectors = {
        "isolation_forest": lambda data: -forest.score_samples(standard.apply(data)),
        "three_sigma": lambda data: np.abs(standard.apply(data)).max(axis=1),
    }
    report = {}
    for name, score in detectors.items():
        quantile = 1 - BUDGET_PER_1000_VEHICLE_DAYS / 1_000
        limit = float(np.quantile(day_maxima(score(calibration), calibration), quantile))
        report[name] = {"limit": limit, **count(score(labelled), limit, labelled)}
    scores = detectors["three_sigma"](labelled)
    report["three_sigma_as_named"] = {"limit": 3.0, **count(scores, 3.0, labelled)}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
