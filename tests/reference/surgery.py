"""What is done to the tasks' gradients of shared weights before they are summed.

`gradients`: one vector a task, or None where the task is absent."""

import itertools

import numpy as np
import torch

from philox import shuffled


MOST_SUPPORTS = 10  # tasks of which all subsets are tried


def pcgrad(gradients, seed, step):
    present = [k for k, g in enumerate(gradients) if g is not None and g @ g > 0]
    total = torch.zeros_like(next(g for g in gradients if g is not None))
    for i in present:
        h = gradients[i].clone()
        for j in shuffled([j for j in present if j != i], seed, i, step):
            product = h @ gradients[j]
            if product < 0:
                h -= product / (gradients[j] @ gradients[j]) * gradients[j]
        if h @ h > 1e-10 * (gradients[i] @ gradients[i]):  # not only the rounding of floats
            total += h
    return total


def least_on_simplex(gram, radius):
    """w that minimises F(w) = ⟨g_w, g_0⟩ + √φ ‖g_w‖, φ = radius² ‖g_0‖², on the simplex.

    With few tasks exactly: of every support the point where F's slopes on it are alike: with
    G w = r (μ − m), m_k = ⟨g_k, g_0⟩ and r = ‖g_w‖ / √φ, Σ w = 1 and ‖g_w‖² = φ r² leave a quadratic
    in μ. F is convex, so the least of those inside the simplex is the least of all. With many, the
    support is that of a point near the minimum."""
    gram = gram / gram.diagonal().max()
    mean = gram.mean(1)
    root = radius * np.sqrt(max(mean.mean(), 0))
    near = descended(gram, mean, root)  # where a mixture is 0 the slopes say nothing
    if len(gram) <= MOST_SUPPORTS:
        sizes = range(2, len(gram) + 1)
        supports = itertools.chain(*(itertools.combinations(range(len(gram)), size) for size in sizes))
        candidates = [*np.eye(len(gram)), near]
    else:
        supports, candidates = [np.flatnonzero(near > 1e-7)], [near]
    for support in map(list, supports):
        candidates += points_of(support, gram, mean, root)
    return min(candidates, key=lambda w: w @ mean + root * np.sqrt(max(w @ gram @ w, 0)))


def points_of(support, gram, mean, root):
    """Where F's slopes on a support are alike, if that is inside the simplex."""
    part, ones = gram[np.ix_(support, support)], np.ones(len(support))
    if np.linalg.cond(part) > 1e13:
        return []  # a smaller support has such a point
    inverse_ones, inverse_mean = np.linalg.solve(part, np.stack([ones, mean[support]], 1)).T
    a, b, c = ones @ inverse_ones, ones @ inverse_mean, mean[support] @ inverse_mean
    inside = b * b - a * (c - root**2)
    found = []
    for mu in () if inside < 0 else ((b + np.sqrt(inside)) / a, (b - np.sqrt(inside)) / a):
        if a * mu - b <= 0:
            continue
        w = (mu * inverse_ones - inverse_mean) / (a * mu - b)
        if w.min() >= 0:
            found.append(np.zeros(len(gram)))
            found[-1][support] = w
    return found


def descended(gram, mean, root, steps=5_000):
    """Near the minimum: weight moves from where F's slope is largest to where it is least, to where
    the slope along that line is 0 (by halving)."""
    w = np.full(len(gram), 1 / len(gram))
    for _ in range(steps):
        product = gram @ w
        slopes = mean + root * product / np.sqrt(max(w @ product, 1e-300))
        to, from_ = int(slopes.argmin()), int(np.where(w > 0, slopes, -np.inf).argmax())
        if slopes[from_] - slopes[to] < 1e-13 or w @ product < 1e-18:
            break
        line = product[to] - product[from_]
        bend = gram[to, to] - 2 * gram[to, from_] + gram[from_, from_]
        low, high = 0.0, w[from_]
        for _ in range(60):
            t = (low + high) / 2
            square = max(w @ product + 2 * t * line + t * t * bend, 1e-300)
            slope = mean[to] - mean[from_] + root * (line + t * bend) / np.sqrt(square)
            low, high = (t, high) if slope < 0 else (low, t)
        w[to] += high
        w[from_] = 0 if high == w[from_] else w[from_] - high
    return w


def cagrad(gradients, radius):
    present = [g for g in gradients if g is not None and g @ g > 0]
    if not present:
        return torch.zeros_like(next(g for g in gradients if g is not None))
    stack = torch.stack(present)
    gram = (stack @ stack.T).double().numpy()
    w, n = least_on_simplex(gram, radius), len(present)
    length, mean = np.sqrt(max(w @ gram @ w, 0)), np.sqrt(max(gram.mean(), 0))
    # What is left of gradients that cancel out has no direction.
    along = radius * mean / length if length > 1e-5 * np.sqrt(gram.diagonal().max()) else 0.0
    direction = (1 / n + along * w) / (1 + radius**2)
    return (torch.tensor(direction, dtype=stack.dtype)[:, None] * stack).sum(0)
