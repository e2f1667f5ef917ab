"""What is done to the tasks' gradients of shared weights before they are summed.

`gradients`: one vector a task, or None where the task is absent."""

import itertools

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


def least_on_simplex(gram, radius):
    """w that minimises F(w) = ⟨g_w, g_0⟩ + √φ ‖g_w‖, φ = radius² ‖g_0‖², on the simplex.

    Of every support the point where F's slopes on it are alike: with G w = r (μ − m), m_k = ⟨g_k, g_0⟩
    and r = ‖g_w‖ / √φ, Σ w = 1 and ‖g_w‖² = φ r² leave a quadratic in μ. F is convex, so the least of
    those inside the simplex is the least of all."""
    n = len(gram)
    gram = gram / gram.diagonal().max()
    mean = gram.mean(1)
    root = radius * np.sqrt(max(mean.mean(), 0))

    def value(w):
        return w @ mean + root * np.sqrt(max(w @ gram @ w, 0))

    candidates = list(np.eye(n))
    for size in range(2, n + 1):
        for support in map(list, itertools.combinations(range(n), size)):
            part, ones = gram[np.ix_(support, support)], np.ones(size)
            if np.linalg.cond(part) > 1e13:
                continue  # a smaller support has such a point
            inverse_ones, inverse_mean = np.linalg.solve(part, np.stack([ones, mean[support]], 1)).T
            a, b, c = ones @ inverse_ones, ones @ inverse_mean, mean[support] @ inverse_mean
            inside = b * b - a * (c - root**2)
            if inside < 0:
                continue
            for mu in ((b + np.sqrt(inside)) / a, (b - np.sqrt(inside)) / a):
                if a * mu - b <= 0:
                    continue
                w = (mu * inverse_ones - inverse_mean) / (a * mu - b)
                if w.min() >= 0:
                    candidates.append(np.zeros(n))
                    candidates[-1][support] = w
    return min(candidates, key=value)


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
