"""Measures which faults a model sees: faults are put into the held-out real drives, Odograph exports their features, the model judges.

    python measure_faults.py write --drives ../../../shared/data/kit_obd2 --from 2017-08-07 --out faulty.csv
    odograph features export faulty.csv --columns odograph --features @…/features.json --out faulty.parquet
    python measure_faults.py measure --features faulty.parquet --model drive_autoencoder.onnx

Each fault begins after a third of its drive and stays. Seen: 20 of 30 readings in a row above the threshold, somewhere after it
began. `healthy` are the same drives without a fault, judged the same way: false alarms.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import gzip
import json
import zoneinfo
from pathlib import Path

import numpy as np

from feature_files import read_features
from odograph_contract import Scorer, read_contract

# In the order of the columns of the source.
SIGNALS = ["coolant_temperature_celsius", "intake_pressure_kpa", "engine_speed_rpm", "speed_km_per_h", "intake_temperature_celsius",
           "mass_air_flow_g_per_s", "throttle_percent", "ambient_temperature_celsius", "accelerator_pedal_percent"]
COOLANT, PRESSURE, RPM, SPEED, INTAKE, AIR_FLOW, THROTTLE, _, PEDAL = range(len(SIGNALS))
PERSISTENCE, OF = 20, 30


def minutes(after: np.ndarray) -> np.ndarray:
    return np.arange(len(after)) / 60


def stuck(signal: int):
    def put(after, _random):
        after[:, signal] = after[0, signal]

    return put


def change(signal: int, of):
    def put(after, random):
        after[:, signal] = of(after[:, signal], minutes(after), random)

    return put


FAULTS = {
    "healthy": lambda after, random: None,
    "coolant_wire_break": change(COOLANT, lambda x, m, r: np.full_like(x, -40)),
    "coolant_rises_2_per_min": change(COOLANT, lambda x, m, r: np.minimum(x + 2 * m, 140)),
    "thermostat_stuck_open": change(COOLANT, lambda x, m, r: np.maximum(x - 2 * m, np.minimum(x, 65))),
    "coolant_stuck": stuck(COOLANT),
    "speed_stuck_at_0": change(SPEED, lambda x, m, r: np.zeros_like(x)),
    "air_flow_stuck": stuck(AIR_FLOW),
    "air_flow_minus_20_percent": change(AIR_FLOW, lambda x, m, r: 0.8 * x),
    "pressure_stuck": stuck(PRESSURE),
    "boost_leak": change(PRESSURE, lambda x, m, r: np.where(x > 110, 110 + 0.2 * (x - 110), x)),
    "engine_speed_noise_200": change(RPM, lambda x, m, r: np.maximum(x + r.normal(0, 200, len(x)), 0)),
    "intake_temperature_plus_30": change(INTAKE, lambda x, m, r: x + 30),
    "pedal_stuck": stuck(PEDAL),
    "throttle_stuck": stuck(THROTTLE),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write")
    write.add_argument("--drives", required=True)
    write.add_argument("--from", dest="since", required=True)
    write.add_argument("--out", required=True)
    write.add_argument("--seed", type=int, default=7)
    measure = commands.add_parser("measure")
    measure.add_argument("--features", required=True)
    measure.add_argument("--model", required=True)
    measure.add_argument("--threshold", type=float, default=0.99)
    arguments = parser.parse_args()
    globals()[f"{arguments.command}_command"](arguments)


def write_command(arguments: argparse.Namespace) -> None:
    random = np.random.default_rng(arguments.seed)
    drives = sorted(path for path in Path(arguments.drives).glob("*.csv.gz") if path.name >= arguments.since)
    with open(arguments.out, "w") as out:
        out.write(",".join(["vehicle_id", "recorded_at", *SIGNALS]) + "\n")
        for number, drive in enumerate(drives):
            moments, values = read_drive(drive)
            for fault, put in FAULTS.items():
                ill = values.copy()
                put(ill[len(ill) // 3 :], random)
                for moment, row in zip(moments, ill):
                    cells = ["" if np.isnan(value) else repr(float(value)) for value in row]
                    out.write(",".join([f"{fault}--{number}", moment, *cells]) + "\n")


def read_drive(path: Path) -> tuple[list[str], np.ndarray]:
    """The last row of every second, as `--every 1s` keeps it."""
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    last, kept = "", {}
    with gzip.open(path, "rt", newline="") as file:
        for row in list(csv.reader(file))[1:]:
            if row[0] >= last:
                last = row[0]
                kept[row[0][:8]] = row
    local = [datetime.datetime.fromisoformat(f"{path.name[:10]}T{row[0]}").replace(tzinfo=zone) for row in kept.values()]
    moments = [moment.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds") for moment in local]
    return moments, np.array([[float(cell) if cell else np.nan for cell in row[1:10]] for row in kept.values()])


def measure_command(arguments: argparse.Namespace) -> None:
    table = read_features(arguments.features).columns(read_contract(arguments.model)["features"])
    scorer = Scorer(arguments.model)
    above = scorer.calibrated(scorer.raw(table.rows)) > arguments.threshold
    faults: dict[str, dict] = {}
    for vehicle in dict.fromkeys(table.vehicle_id):
        chosen = above[table.vehicle_id == vehicle]
        begin = len(chosen) // 3
        lasting = np.convolve(chosen, np.ones(OF), "full")[: len(chosen)] >= PERSISTENCE
        fault = faults.setdefault(vehicle.split("--")[0], {"drives": 0, "seen": 0, "shares": [], "delays": []})
        fault["drives"] += 1
        fault["seen"] += bool(lasting[begin:].any())
        fault["shares"].append(chosen[begin:].mean())
        if lasting[begin:].any():
            fault["delays"].append(int(lasting[begin:].argmax()))
    result = {
        name: {
            "seen": fault["seen"],
            "drives": fault["drives"],
            "share_above": round(float(np.mean(fault["shares"])), 3),
            "median_delay_s": float(np.median(fault["delays"])) if fault["delays"] else None,
        }
        for name, fault in faults.items()
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
