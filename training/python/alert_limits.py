"""When a raw score becomes an alert: limits from the maxima of healthy vehicle-days, so that a budget of false alerts is kept.

The unit is the vehicle-day, and what counts is what the alert machine does: an alert opens when k of the last n scored readings reach
the limit, so a day's maximum is the highest limit at which one would have opened that day: the largest, over the day, of the k-th
largest of n neighbouring scores. The limit for a budget of b alerts a vehicle-day is the (1 - b) quantile of these maxima. Where fewer
days were seen than that needs, a generalised Pareto tail (Pickands 1975; fitted by probability-weighted moments, Hosking & Wallis 1987)
beyond the 90 % quantile says what they would be, and the result says that it is extrapolated.
"""

from __future__ import annotations

import numpy as np

DAY_MICROS = 86_400_000_000
TAIL_FROM = 0.9
FEWEST_TAIL_DAYS = 20


def kth_largest_of(raw: np.ndarray, k: int, n: int) -> np.ndarray:
    """Of each reading and the n - 1 before it, the k-th largest; of fewer, as far as there are k."""
    padded = np.concatenate([np.full(n - 1, -np.inf), raw])
    windows = np.lib.stride_tricks.sliding_window_view(padded, n)
    return np.partition(windows, n - k, axis=1)[:, n - k]


def day_maxima(vehicle_id: np.ndarray, recorded_at: np.ndarray, raw: np.ndarray, k: int, n: int) -> np.ndarray:
    """One number per vehicle and UTC day with at least n scores. Readings of a vehicle in their order; NaN where there is no score."""
    scored = np.isfinite(raw)
    vehicle_id, recorded_at, raw = vehicle_id[scored], recorded_at[scored], raw[scored].astype(np.float64)
    maxima = []
    for vehicle in dict.fromkeys(vehicle_id.tolist()):
        chosen = vehicle_id == vehicle
        levels, days = kth_largest_of(raw[chosen], k, n), recorded_at[chosen] // DAY_MICROS
        maxima += [levels[days == day].max() for day in np.unique(days) if (days == day).sum() >= n]
    return np.array(maxima)


def limit_for(maxima: np.ndarray, budget_per_vehicle_day: float) -> tuple[float, bool]:
    """The limit, and whether it lies beyond what so many days can show."""
    count = len(maxima)
    # Split conformal: of n + 1 exchangeable days, this one is the largest with probability 1 / (n + 1).
    rank = int(np.ceil((count + 1) * (1 - budget_per_vehicle_day)))
    if rank <= count:
        return float(np.sort(maxima)[rank - 1]), False
    start = np.quantile(maxima, TAIL_FROM)
    excesses = np.sort(maxima[maxima > start] - start)
    if len(excesses) < FEWEST_TAIL_DAYS:
        raise SystemExit(f"{count} vehicle-days are too few for a limit; {10 * FEWEST_TAIL_DAYS} are needed at least")
    mean = excesses.mean()
    weights = (len(excesses) - np.arange(1, len(excesses) + 1)) / (len(excesses) - 1)
    moment = (weights * excesses).mean()
    # Above 0: a heavy tail (the sign of Hosking and Wallis's k turned).
    shape = 2 - mean / (mean - 2 * moment)
    scale = 2 * mean * moment / (mean - 2 * moment)
    beyond = budget_per_vehicle_day / (len(excesses) / count)
    excess = scale * (beyond**-shape - 1) / shape if abs(shape) > 1e-9 else -scale * np.log(beyond)
    return float(max(start + excess, maxima.max())), True
