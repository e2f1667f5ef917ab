"""What is done to the tasks' gradients of shared weights before they are summed.

`gradients`: one vector a task, or None where the task is absent."""

import numpy as np
import torch

from philox import shuffled


def pcgrad(gradients, seed, step):
    present = [k for k, g in enumerate(gradients) if g is not None and g @ g > 0]
    total = torch.zeros_like(next(g for g in gradients if g is not None))
    for i in present:
        h = gradients[i].clone()
        for j in shuffled([j for j in present if j != i], seed, i, step):
            product = h @ gradients[j]
            if product < 0:
                h -= product / (gradients[j] @ gradients[j]) * gradients[j]
        total += h
    return total


def simplex_projection(v):
    """The nearest point with non-negative parts that sum to 1."""
    u = np.sort(v)[::-1]
    sums = np.cumsum(u) - 1
    rho = np.count_nonzero(u - sums / np.arange(1, len(v) + 1) > 0)
    return np.maximum(v - sums[rho - 1] / rho, 0)


def least_on_simplex(gram, radius):
    """w that minimises ⟨g_w, g_0⟩ + √φ ‖g_w‖, φ = radius² ‖g_0‖²: projected gradient descent with
    backtracking, until no corner promises more than 1e-11 of the largest ‖g‖²."""
    n = len(gram)
    gram = gram / gram.diagonal().max()
    mean = gram.mean(1)
    root = radius * np.sqrt(max(mean.mean(), 0))

    def value(w):
        return w @ mean + root * np.sqrt(max(w @ gram @ w, 0))

    w, rate = np.full(n, 1 / n), 1.0
    for _ in range(100_000):
        slope = mean + root * (gram @ w) / np.sqrt(max(w @ gram @ w, 1e-300))
        if slope @ w - slope.min() < 1e-11:
            break
        while True:
            following = simplex_projection(w - rate * slope)
            move = following - w
            if value(following) <= value(w) + slope @ move + move @ move / (2 * rate) + 1e-17:
                break
            rate /= 2
        w, rate = following, rate * 1.3
    return w


def cagrad(gradients, radius):
    present = [g for g in gradients if g is not None and g @ g > 0]
    if not present:
        return torch.zeros_like(next(g for g in gradients if g is not None))
    stack = torch.stack(present)
    gram = (stack @ stack.T).double().numpy()
    w, n = least_on_simplex(gram, radius), len(present)
    length, mean = np.sqrt(w @ gram @ w), np.sqrt(max(gram.mean(), 0))
    along = radius * mean / length if length > 1e-12 * mean else 0.0
    direction = (1 / n + along * w) / (1 + radius**2)
    return (torch.tensor(direction, dtype=stack.dtype)[:, None] * stack).sum(0)
