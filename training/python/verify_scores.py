"""Recomputes scores with ONNX Runtime in Python and compares them with those that Odograph stored.

    python verify_scores.py --model drive_autoencoder.onnx --features features.parquet --api http://127.0.0.1:8080
    python verify_scores.py --model drive_autoencoder.onnx --features features.parquet --readings readings.json [more.json]

The features come from `odograph features export` over the history that was replayed (same --every and --as). The readings come from
`GET /api/v1/vehicles/{id}/readings`, read here page by page or saved before; a saved file is named VEHICLE.json, or holds an object
{vehicle_id: [readings]}. A replay with `--time shift` moves all moments of a vehicle alike: the difference of the last ones is taken
off. Exit code 0: every stored score was found again within the tolerance; 1: not.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np

from feature_files import read_features, to_micros
from odograph_contract import Scorer, read_contract


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--features", required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--api", metavar="URL")
    source.add_argument("--readings", nargs="+", metavar="FILE.json")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="relative to the larger of 1 and the score")
    parser.add_argument("--least", type=int, default=1, help="fewer compared scores are a failure")
    arguments = parser.parse_args()

    contract = read_contract(arguments.model)
    scorer = Scorer(arguments.model)
    table = read_features(arguments.features).columns(contract["features"])
    result = {"model": contract["name"], "version": contract["version"], "vehicles": 0, "readings": 0, "compared": 0, "unscored": 0,
              "without_features": 0, "largest_raw_difference": 0.0, "largest_score_difference": 0.0, "different": 0, "examples": []}
    saved = read_saved(arguments.readings) if arguments.readings else {}
    for vehicle in dict.fromkeys(table.vehicle_id):
        readings = fetch(arguments.api, vehicle) if arguments.api else saved.get(vehicle, [])
        if readings:
            compare(vehicle, readings, table.select(table.vehicle_id == vehicle), scorer, arguments.tolerance, result)
    result["tolerance"] = arguments.tolerance
    result["equal"] = result["different"] == 0 and result["without_features"] == 0 and result["compared"] >= arguments.least
    print(json.dumps(result, indent=1))
    return 0 if result["equal"] else 1


def fetch(api: str, vehicle: str) -> list[dict]:
    readings, cursor = [], None
    while True:
        query = {"limit": 1000} | ({"cursor": cursor} if cursor else {})
        address = f"{api.rstrip('/')}/api/v1/vehicles/{urllib.parse.quote(vehicle)}/readings?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                page = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise
        readings += page["readings"]
        cursor = page.get("next_cursor")
        if not cursor:
            return readings


def read_saved(paths: list[str]) -> dict[str, list[dict]]:
    saved: dict[str, list[dict]] = {}
    for path in paths:
        content = json.loads(Path(path).read_text())
        if isinstance(content, dict) and "readings" in content:
            content = {Path(path).stem: content["readings"]}
        elif isinstance(content, list):
            content = {Path(path).stem: content}
        for vehicle, readings in content.items():
            saved.setdefault(vehicle, []).extend(readings)
    return saved


def compare(vehicle: str, readings: list[dict], table, scorer: Scorer, tolerance: float, result: dict) -> None:
    name, version = scorer.contract["name"], scorer.contract["version"]
    raw = scorer.raw(table.rows)
    calibrated = scorer.calibrated(raw)
    # Of several readings of one moment the export has one row each; the stored ones may be in either order.
    rows_at: dict[int, list[int]] = {}
    for row, moment in enumerate(table.recorded_at):
        rows_at.setdefault(int(moment), []).append(row)
    moments = [to_micros(reading["recorded_at"]) for reading in readings]
    shift = max(moments) - int(table.recorded_at.max())
    result["vehicles"] += 1
    result["readings"] += len(readings)
    for reading, moment in zip(readings, moments):
        stored = [score for score in reading.get("scores", []) if score["model"] == name and score["version"] == version]
        if not stored:
            result["unscored"] += 1
            continue
        rows = rows_at.get(moment - shift)
        if rows is None:
            result["without_features"] += 1
            continue
        stored = stored[0]
        row = min(rows, key=lambda row: abs(float(raw[row]) - stored["raw"]))
        raw_difference = abs(float(raw[row]) - stored["raw"]) / max(1.0, abs(stored["raw"]))
        score_difference = abs(float(calibrated[row]) - stored["score"])
        result["compared"] += 1
        result["largest_raw_difference"] = max(result["largest_raw_difference"], raw_difference)
        result["largest_score_difference"] = max(result["largest_score_difference"], score_difference)
        if not (raw_difference <= tolerance and score_difference <= tolerance):
            result["different"] += 1
            if len(result["examples"]) < 5:
                result["examples"].append({"vehicle_id": vehicle, "recorded_at": reading["recorded_at"], "stored": stored,
                                           "raw": float(raw[row]), "score": float(calibrated[row])})


if __name__ == "__main__":
    sys.exit(main())
