"""Adam in plain numpy, on one thread: the same inputs and seed give the same weights. To be imported before numpy."""

from __future__ import annotations

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy: sums in one order

import numpy as np

BATCH, LEARNING_RATE = 512, 2e-3


def fit(sizes: list[tuple[int, int]], inputs: np.ndarray, backward, epochs: int, random: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns (weight, bias) of layers of these sizes. `backward(layers, batch)`: the gradients of all weights and biases, in order."""
    layers = [(random.normal(0, np.sqrt(1 / rows), (rows, columns)), np.zeros(columns)) for rows, columns in sizes]
    parameters = [array for layer in layers for array in layer]
    first_moment, second_moment = ([np.zeros_like(array) for array in parameters] for _ in range(2))
    step, last = 0, epochs * (len(inputs) // BATCH)
    for _ in range(epochs):
        order = random.permutation(len(inputs))
        for start in range(0, len(inputs) - BATCH + 1, BATCH):
            step += 1
            gradients = backward(layers, inputs[order[start : start + BATCH]])
            rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / last))
            for array, gradient, first, second in zip(parameters, gradients, first_moment, second_moment):
                first += 0.1 * (gradient - first)
                second += 0.001 * (gradient * gradient - second)
                array -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return layers
