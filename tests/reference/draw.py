"""Draws configurations, batches and weights. Everything that a comparison depends on is written out,
so that no default is taken for granted."""

import math
import random

import numpy as np

BACKBONES = ["mmoe", "cgc", "ple", "stem", "shared_bottom", "shared_specific"]
BALANCERS = ["fixed", "uncertainty", "gradnorm", "dwa", "fixed+pcgrad", "uncertainty+cagrad"]
DENSE = ["adam", "adamw", "adagrad", "sgd"]
ROWS = ["adagrad", "rowwise_adagrad", "ftrl", "adam", "sgd"]
KINDS = ["huber", "count", "duration"]
RATES = {"adam": 0.003, "adamw": 0.003, "sgd": 0.05, "adagrad": 0.03, "rowwise_adagrad": 0.03, "ftrl": 0.03}


def layers(draw, least, most, units):
    return [draw.randint(2, units) for _ in range(draw.randint(least, most))]


def features(draw):
    fields = [
        {"name": "user", "type": "categorical", "dimension": draw.randint(2, 6), "context": True},
        {"name": "item", "type": "categorical", "dimension": draw.randint(2, 6)},
    ]
    seen = {"name": "seen", "type": "bag", "pooling": draw.choice(["mean", "sum"])}
    if draw.random() < 0.5:
        seen.update(table="item", dimension=fields[1]["dimension"])
    else:
        seen.update(dimension=draw.randint(2, 6))
    fields.append(seen)
    for name in ("price", "age"):
        transform = draw.choice(["none", "log1p"])
        fields.append(
            {"name": name, "type": "numeric", "transform": transform, "standardize": draw.random() < 0.5}
        )
    fields.append({"name": "vector", "type": "dense", "width": draw.randint(2, 8)})
    return fields


def tasks(draw):
    chosen = [{"name": "click", "kind": "binary"}]
    if draw.random() < 0.6:
        chosen.append({"name": "cart", "kind": "binary", "given": "click", "entire_space": True})
        if draw.random() < 0.6:
            chosen.append({"name": "buy", "kind": "binary", "given": "cart", "entire_space": True})
    if draw.random() < 0.5 or len(chosen) == 1:
        chosen.append({"name": "like", "kind": "binary"})
    if draw.random() < 0.5:
        transform = draw.choice(["none", "log1p"])
        chosen.append({"name": "dwell", "kind": "regression", "transform": transform})
    # Of the kinds that only some versions build.
    more = [
        {"name": "huber", "kind": "regression", "loss": "huber", "delta": 0.7},
        {"name": "count", "kind": "count"},
        {"name": "duration", "kind": "duration"},
    ]
    chosen += [task for task in more if task["name"] in KINDS and draw.random() < 0.3]
    return chosen


def model(draw, backbone):
    options = {
        "backbone": backbone,
        "expert_layers": layers(draw, 1, 2, 12),
        "gate_layers": layers(draw, 0, 1, 6),
        "tower_layers": layers(draw, 0, 2, 8),
    }
    if backbone == "mmoe":
        options.update(experts=draw.randint(1, 5), one_gate=draw.random() < 0.2, gate_bias=draw.random() < 0.3)
    if backbone in ("cgc", "ple", "stem"):
        options.update(task_experts=draw.randint(1, 3), shared_experts=draw.randint(1, 3))
    if backbone == "ple":
        options.update(levels=draw.randint(1, 3), shared_gate=draw.choice(["all", "all", "shared", "none"]))
    if backbone == "stem":
        options.update(stem_levels=draw.choice([1, 1, 2]), stem_gate_input=draw.choice(["sum", "own"]))
    if backbone == "shared_specific":
        options.update(shared_mix=draw.choice(["concat", "learned"]))
    return options


def optimiser(name):
    options = {"optimizer": name, "rate": RATES[name]}
    if name == "adamw":
        options["weight_decay"] = 0.1
    if name == "ftrl":
        options.update(beta=1.0, l2=0.01)
    return options


def config(draw, backbone, balancer, dense, rows):
    chosen = tasks(draw)
    # The method's name, and after a + that of gradient surgery.
    method, *operation = balancer.split("+")
    balance = {"method": method, "min_weight": 0.05}
    if operation:
        balance.update(surgery=operation[0], cagrad_radius=0.5)
    if method == "fixed":
        balance["weights"] = {task["name"]: round(draw.uniform(0.2, 3), 2) for task in chosen}
    if method == "uncertainty":
        balance["rate"] = 0.01
    if method == "dwa":
        balance.update(window=draw.randint(3, 10), temperature=2)
    if method == "gradnorm":
        balance["gradnorm"] = {
            "alpha": draw.choice([0.12, 1.5]),
            "rate": 0.025,
            "every": 1,
            "loss_steps": 20,
            "start_steps": 20,
        }
    return {
        "events": {"sample": {"topic": "samples"}},
        "features": features(draw),
        "tasks": chosen,
        "model": model(draw, backbone),
        "balance": balance,
        "train": {
            "batch": draw.choice([16, 32, 64]),
            "dense": optimiser(dense),
            "embedding": optimiser(rows),
        },
    }


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def sample(draw, config, taste):
    """A row whose labels follow from its features, some of them missing."""
    user, item = draw.randrange(20), draw.randrange(15)
    signal = taste[user] + taste[20 + item]
    values = {}
    for feature in config["features"]:
        name = feature["name"]
        if draw.random() < 0.1:
            continue
        if name == "user":
            values[name] = f"u{user}"
        elif name == "item":
            values[name] = item  # an integer, looked up as its text
        elif name == "seen":
            values[name] = [draw.randrange(15) for _ in range(draw.randrange(4))]
        elif feature["type"] == "numeric":
            values[name] = round(draw.gauss(0, 2), 3)
        else:
            values[name] = [round(draw.gauss(0, 1), 3) for _ in range(feature["width"])]
    labels, happened = {}, {}
    for task in config["tasks"]:
        name = task["name"]
        if task["kind"] == "regression":
            label = round(signal + draw.gauss(0, 1), 3)
        elif task["kind"] != "binary":
            label = int(math.exp(signal / 2 + draw.gauss(0, 0.5)))
        else:
            given = task.get("given")
            happened[name] = (not given or happened[given]) and draw.random() < sigmoid(signal)
            label = int(happened[name])
        if draw.random() > 0.15:
            labels[name] = label
    if not labels:
        labels[config["tasks"][0]["name"]] = int(happened["click"])
    row = {"features": values, "labels": labels}
    if draw.random() < 0.2:
        row["sampling_rate"] = 0.5
    return row


def batches(draw, config, count):
    """Full batches, and partial ones of any size among them."""
    taste = [draw.gauss(0, 0.7) for _ in range(35)]
    full = config["train"]["batch"]
    drawn = []
    for b in range(count):
        rows = full if draw.random() < 0.6 else draw.randint(1, full - 1)
        drawn.append([sample(draw, config, taste) for _ in range(rows)])
        for row in drawn[b]:
            row.update(type="sample", time=1_764_000_000_000 + 1000 * b, batch=b)
    return drawn


def weights(draw, arrays):
    """Random values in place of the given ones, biases and gates too."""
    numbers = np.random.default_rng(draw.getrandbits(32))
    drawn = {}
    for name, array in arrays.items():
        if name.endswith(".bias"):
            deviation = 0.1
        elif name.startswith("embedding."):
            deviation = 0.3
        else:
            deviation = math.sqrt(1.5 / array.shape[0])
        drawn[name] = (deviation * numbers.standard_normal(array.shape)).astype(np.float32)
    return drawn


def generator(seed):
    return random.Random(seed)
