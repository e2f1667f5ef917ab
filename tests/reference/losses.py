"""Task losses over one batch, and the product of conditional probabilities."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from inputs import transformed


def kind_of(task):
    return task.get("kind", "binary")


def is_binary(task):
    return kind_of(task) == "binary"


def labels_of(tasks, samples, dtype):
    """[B, T], NaN where missing; labels of regressions transformed."""
    rows = []
    for sample in samples:
        row = []
        for task in tasks:
            label = sample["labels"].get(task["name"])
            transform = "log1p" if kind_of(task) == "duration" else task.get("transform")
            row.append(float("nan") if label is None else transformed(label, transform))
        rows.append(row)
    return torch.tensor(rows, dtype=dtype)


def weights_of(samples, dtype):
    return torch.tensor([1 / sample.get("sampling_rate", 1.0) for sample in samples], dtype=dtype)


def chain_of(tasks, k):
    """The task's conditions from the first, then itself."""
    names = [task["name"] for task in tasks]
    chain = [k]
    while tasks[chain[0]].get("given"):
        chain.insert(0, names.index(tasks[chain[0]]["given"]))
    return chain


def is_product(task):
    return bool(task.get("given")) and task.get("entire_space", is_binary(task))


def row_losses(tasks, k, z, y, classes=(1.0, 1.0, 0.0)):
    """[n] of task k for rows with logits z [n, T] and labels y [n]. `classes`: what its 1s and 0s weigh,
    and what is added to the logit (LabelTools)."""
    task = tasks[k]
    one, zero, shift = classes
    if (one, zero, shift) != (1.0, 1.0, 0.0):
        logit = z[:, k]
        if is_product(task):
            log_q = sum(logsigmoid(z[:, j]) for j in chain_of(tasks, k))
            logit = log_q - torch.log(-torch.expm1(log_q))
        loss = binary_cross_entropy_with_logits(logit + shift, y, reduction="none")
        return loss * torch.where(y > 0.5, one, zero)
    if is_product(task):
        log_q = sum(logsigmoid(z[:, j]) for j in chain_of(tasks, k))
        return -(y * log_q + (1 - y) * torch.log(-torch.expm1(log_q)))
    if is_binary(task):
        return binary_cross_entropy_with_logits(z[:, k], y, reduction="none")
    if kind_of(task) == "count":
        return z[:, k].exp() - y * z[:, k] - y + torch.xlogy(y, y)
    distance = (z[:, k] - y).abs()
    if task.get("loss", "squared") == "squared":
        return distance**2
    delta = task.get("delta", 1.0)
    return torch.where(distance <= delta, distance**2, 2 * delta * distance - delta**2)


def factor(task):
    """c of uncertainty weighting: 1 for a likelihood, ½ for a squared distance."""
    return 0.5 if kind_of(task) in ("regression", "duration") else 1.0


def task_sums(tasks, z, labels, weights, classes):
    """Σ_i m s ℓ of each task, and N_k = Σ_i m: two lists; a sum without rows is None. `classes`: by task."""
    sums, counts = [], []
    for k in range(len(tasks)):
        known = ~torch.isnan(labels[:, k])
        counts.append(int(known.sum()))
        if counts[k] == 0:
            sums.append(None)
            continue
        sums.append((weights[known] * row_losses(tasks, k, z[known], labels[known, k], classes(k))).sum())
    return sums, counts
