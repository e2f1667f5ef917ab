"""What is measured of the tasks: gradients on the last shared layer, and how well each is predicted."""

import math

import torch

from balance import RunningMean
from losses import is_binary


class LastShared:
    """Σ over a step's batches of each task's gradient of its sum of losses; `gram` ends the step."""

    def __init__(self, tasks):
        self.sums = [None] * tasks

    def add(self, gradients):
        """`gradients`: one vector a task, or None."""
        for k, g in enumerate(gradients):
            if g is not None:
                self.sums[k] = g if self.sums[k] is None else self.sums[k] + g

    def gram(self, counts):
        """[T][T]: ⟨∇L_i, ∇L_j⟩ of the mean losses; None where one has no gradient."""
        means = [None if g is None or not n else g / n for g, n in zip(self.sums, counts)]
        self.sums = [None] * len(self.sums)
        return [[None if a is None or b is None else float(a @ b) for b in means] for a in means]


class Similarity:
    """Of a task to the others: the mean of its gradient cosines, those below 0 as 0. A cosine is of
    running means of the inner product and of both squares."""

    def __init__(self, tasks, length):
        means = lambda: [[RunningMean(length) for _ in range(3)] for _ in range(tasks)]
        self.pairs = [means() for _ in range(tasks)]

    def add(self, gram):
        for i, row in enumerate(gram):
            for j, product in enumerate(row):
                if i != j and (gram[i][i] or 0) > 0 and (gram[j][j] or 0) > 0:
                    for mean, value in zip(self.pairs[i][j], (product, gram[i][i], gram[j][j])):
                        mean.add(value)

    def of(self, task):
        """None while nothing was measured."""
        cosines = [
            product.value / math.sqrt(a.value) / math.sqrt(b.value)
            for product, a, b in self.pairs[task]
            if a.count
        ]
        return sum(max(0.0, cosine) for cosine in cosines) / len(cosines) if cosines else None


def auc(bins):
    """`bins`: {bin: [weight of the 1s, of the 0s]}; None without both."""
    positives = negatives = won = 0.0
    for place in sorted(bins, reverse=True):
        p, n = bins[place]
        won += n * (positives + p / 2)
        positives += p
        negatives += n
    return won / (positives * negatives) if positives * negatives > 0 else None


def squared_correlation(rows):
    """`rows`: (weight, z, y); None where one of them does not vary."""
    if not rows:
        return None
    w, z, y = torch.tensor(rows, dtype=torch.float64).T
    z, y = z - (w @ z) / w.sum(), y - (w @ y) / w.sum()
    square = (w @ (z * y)) ** 2 / ((w @ (z * z)) * (w @ (y * y)))
    return min(1.0, float(square)) if math.isfinite(square) else None


class Performance:
    """A figure in [0, 1] of how well each task is predicted: a binary task's AUC on the rows where
    its condition holds, of the last 100,000 (here: all), in 4,096 bins of the logit; of another one
    the squared correlation of output and label since the last figure."""

    def __init__(self, tasks):
        names = [task["name"] for task in tasks]
        self.binary = [is_binary(task) for task in tasks]
        self.given = [names.index(task["given"]) if task.get("given") else None for task in tasks]
        self.bins = [{} for _ in tasks]
        self.rows = [[] for _ in tasks]

    def add(self, z, labels, weights, learned=True):
        """Of a batch that is only measured, what is seen is the binary tasks' alone."""
        for row_z, row_y, weight in zip(z.tolist(), labels.tolist(), weights.tolist()):
            for k, y in enumerate(row_y):
                if math.isnan(y):
                    continue
                if not self.binary[k]:
                    self.rows[k] += [(weight, row_z[k], y)] if learned else []
                elif self.given[k] is None or row_y[self.given[k]] == 1:
                    place = min(4095, max(0, math.floor((row_z[k] + 16) * 128)))
                    self.bins[k].setdefault(place, [0.0, 0.0])[0 if y > 0.5 else 1] += weight

    def take(self):
        found = [
            auc(bins) if binary else squared_correlation(rows)
            for binary, bins, rows in zip(self.binary, self.bins, self.rows)
        ]
        self.rows = [[] for _ in self.rows]
        return found
