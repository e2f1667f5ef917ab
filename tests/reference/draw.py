"""Draws configurations, batches and weights. Everything that a comparison depends on is written out,
so that no default is taken for granted."""

import itertools
import math
import random

# What is drawn of what: a case has one of each.
FACTORS = {
    "backbone": [
        "mmoe",
        "one_gate",
        "cgc",
        "ple",
        "ple_shared_gate",
        "ple_no_gate",
        "stem",
        "shared_bottom",
        "shared_specific",
        "learned_mix",
        "measured_mix",
        "separate",
    ],
    "balancer": [
        "fixed",
        "scheduled",
        "uncertainty",
        "uncertainty_raw",
        "uncertainty_half",
        "gradnorm",
        "dwa",
        "dtp",
        "performance",
        "random",
    ],
    "surgery": ["none", "pcgrad", "cagrad"],
    "dense": ["adam", "adamw", "adagrad", "sgd", "adam_by_task", "adagrad_by_task"],
    "rows": ["adagrad", "rowwise_adagrad", "ftrl", "adam", "sgd"],
    "inputs": ["both", "dense", "sparse"],
    "experts": ["plain", "normalised", "balanced", "normalised_balanced", "entropy"],
    "heads": ["mixed", "binary", "chain", "on_rows", "regression", "huber", "count", "duration"],
    "shape": ["usual", "one_task", "flat", "deep", "odd", "one_row"],
    "rates": ["constant", "warmup", "inverse_sqrt", "cosine", "exponential", "step"],
    "limits": ["off", "clippy", "norm", "decay"],
    "labels": ["plain", "ratio", "oversample", "effective_count", "curriculum", "curriculum_steps"],
}
USUAL = {name: values[0] for name, values in FACTORS.items()}
RATES = {"adam": 0.003, "adamw": 0.003, "sgd": 0.05, "adagrad": 0.03, "rowwise_adagrad": 0.03, "ftrl": 0.03}
TASKS = {"many": 128, "crowd": 24}  # of which two labels in five are missing


UNGATED = ("shared_bottom", "shared_specific", "learned_mix", "measured_mix", "separate")


def case(**chosen):
    return {**USUAL, **chosen}


def is_possible(chosen):
    """Whether a configuration may ask for it: what belongs to experts and gates needs some, and a
    penalty on gates is no task's loss, as surgery needs it."""
    ungated = chosen.get("backbone") in UNGATED and chosen.get("experts", "plain") != "plain"
    penalty = chosen.get("experts", "plain") not in ("plain", "normalised")
    if chosen.get("backbone") == "separate" and chosen.get("balancer") == "gradnorm":
        return False  # there is no layer that all tasks share
    labels = chosen.get("labels", "plain")
    if labels.startswith("curriculum") and chosen.get("shape") == "one_task":
        return False  # nobody waits for another
    if chosen.get("shape") == "one_task" and chosen.get("heads") in ("chain", "on_rows"):
        return False  # a condition is another task
    by_task = chosen.get("dense", "").endswith("_by_task")
    if by_task and chosen.get("surgery", "none") != "none":
        return False  # surgery makes one gradient of the tasks'
    return not ungated and not (penalty and (by_task or chosen.get("surgery", "none") != "none"))


def pairwise(random, factors=None, is_possible=is_possible):
    """Cases in which every two values of two factors meet; few, by greedy choice."""
    factors = factors or FACTORS
    names = list(factors)
    missing = {
        ((a, x), (b, y))
        for a, b in itertools.combinations(names, 2)
        for x in factors[a]
        for y in factors[b]
        if is_possible({a: x, b: y})
    }

    def covered(chosen):
        return set(itertools.combinations(chosen.items(), 2)) & missing

    cases = []
    while missing:
        seed = random.choice(sorted(missing))
        best = None
        for _ in range(30):
            chosen = {name: random.choice(factors[name]) for name in names}
            chosen.update(dict(seed))
            if not is_possible(chosen):
                continue
            if best is None or len(covered(chosen)) > len(covered(best)):
                best = chosen
        if best is not None:
            missing -= covered(best)
            cases.append(best)
    return cases


def layers(draw, least, most, units):
    return [draw.randint(2, units) for _ in range(draw.randint(least, most))]


def buckets(draw):
    if draw.random() < 0.5:
        return {"boundaries": [-1.5, 0, 1]}
    return {"buckets": 4, "range": [-2, 2], "transform": draw.choice(["none", "log1p"])}


def cross(draw, of_items):
    """Of two or three features, with rows of its own or in the items' table."""
    parts = draw.choice([["user", "item"], ["hour", "user"], ["item", "hour", "user"]])
    field = {"name": "both", "type": "cross", "of": parts}
    shared = {"table": "item", "dimension": of_items}
    return {**field, **(shared if draw.random() < 0.3 else {"dimension": draw.randint(2, 6)})}


def features(draw, inputs):
    fields = []
    if inputs != "dense":
        fields.append(
            {"name": "user", "type": "categorical", "dimension": draw.randint(2, 6), "context": True}
        )
        fields.append({"name": "item", "type": "categorical", "dimension": draw.randint(2, 6)})
        seen = {"name": "seen", "type": "bag", "pooling": draw.choice(["mean", "sum"])}
        if draw.random() < 0.5:
            seen.update(table="item", dimension=fields[1]["dimension"])
        else:
            seen.update(dimension=draw.randint(2, 6))
        fields.append(seen)
        fields.append({"name": "hour", "type": "numeric", "dimension": 2, **buckets(draw)})
        if draw.random() < 0.5:
            fields.insert(draw.randint(0, len(fields)), cross(draw, fields[1]["dimension"]))
    if inputs != "sparse":
        for name in ("price", "age"):
            transform = draw.choice(["none", "log1p"])
            fields.append(
                {"name": name, "type": "numeric", "transform": transform, "standardize": draw.random() < 0.5}
            )
        fields.append({"name": "vector", "type": "dense", "width": draw.randint(2, 8)})
    return fields


def on_the_condition(draw):
    """No products: learned on the rows where a sample has their label."""
    cart = {"name": "cart", "kind": "binary", "given": "click", "entire_space": False}
    dwell = {"name": "dwell", "kind": "regression", "given": "click", "transform": "log1p"}
    buy = {"name": "buy", "kind": "binary", "given": "cart", "entire_space": draw.random() < 0.5}
    return [{"name": "click", "kind": "binary"}, cart, *draw.choice([[dwell], [buy], [dwell, buy]])]


def tasks_of(draw, heads):
    """Of one kind of heads, with a click's; a chain's are products of two, three or four factors."""
    click = {"name": "click", "kind": "binary"}
    if heads == "binary":
        return [{"name": f"binary{k}", "kind": "binary"} for k in range(draw.randint(1, 4))] + [click]
    if heads == "chain":
        names = ["click", "cart", "buy", "again"][: draw.randint(2, 4)]
        return [click] + [
            {"name": name, "kind": "binary", "given": given, "entire_space": True}
            for given, name in itertools.pairwise(names)
        ]
    if heads == "on_rows":
        return on_the_condition(draw)
    regression = {"name": "regression", "kind": "regression", "transform": draw.choice(["none", "log1p"])}
    own = {
        "regression": regression,
        "huber": {**regression, "loss": "huber", "delta": draw.choice([0.3, 1.0])},
        "count": {"name": "count", "kind": "count"},
        "duration": {"name": "duration", "kind": "duration"},
    }[heads]
    return [click, {**own, "name": "other"}, own] if draw.random() < 0.5 else [click, own]


def tasks(draw, shape, heads="mixed"):
    if heads != "mixed" and shape not in TASKS:
        chosen = tasks_of(draw, heads)
        return chosen[-1:] if shape == "one_task" else chosen
    if shape in TASKS:
        kinds = [{"kind": "binary"}] * 5 + [{"kind": "regression", "transform": "log1p"}]
        return [{"name": f"t{k}", **kinds[k % len(kinds)]} for k in range(TASKS[shape])]
    chosen = [{"name": "click", "kind": "binary"}]
    if draw.random() < 0.6:
        chosen.append({"name": "cart", "kind": "binary", "given": "click", "entire_space": True})
        if draw.random() < 0.6:
            chosen.append({"name": "buy", "kind": "binary", "given": "cart", "entire_space": draw.random() < 0.7})
    if draw.random() < 0.5 or len(chosen) == 1:
        chosen.append({"name": "like", "kind": "binary"})
    if draw.random() < 0.5:
        transform = draw.choice(["none", "log1p"])
        chosen.append({"name": "dwell", "kind": "regression", "transform": transform})
    more = [
        {"name": "huber", "kind": "regression", "loss": "huber", "delta": 0.7},
        {"name": "count", "kind": "count"},
        {"name": "duration", "kind": "duration"},
    ]
    chosen += [task for task in more if draw.random() < 0.3]
    return [draw.choice([chosen[0], *more])] if shape == "one_task" else chosen


def model(draw, name, shape, experts="plain"):
    backbone = {
        "one_gate": "mmoe",
        "ple_shared_gate": "ple",
        "ple_no_gate": "ple",
        "learned_mix": "shared_specific",
        "measured_mix": "shared_specific",
    }.get(name, name)
    sizes = {"flat": (1, 1, 12), "deep": (3, 3, 10), **dict.fromkeys(TASKS, (1, 1, 6))}
    least, most, units = sizes.get(shape, (1, 2, 12))
    hidden = {"flat": (0, 0), "deep": (2, 2), **dict.fromkeys(TASKS, (0, 0))}.get(shape, (0, 1))
    options = {
        "backbone": backbone,
        "expert_layers": layers(draw, least, most, units),
        "gate_layers": layers(draw, *hidden, 6),
        "tower_layers": layers(draw, hidden[0], 2 * hidden[1], 8),
    }
    if backbone == "mmoe":
        options.update(experts=draw.randint(1, 5), one_gate=name == "one_gate")
    if backbone in ("mmoe", "cgc", "ple", "stem"):
        options.update(gate_bias=draw.random() < 0.3)
        if draw.random() < 0.3:
            options.update(gate_temperature=1.7)
        if draw.random() < 0.3:
            options.update(gate_temperature=1.2, learn_temperature=True, least_temperature=0.1)
    if "normalised" in experts:
        options.update(expert_norm=True)
    if "balanced" in experts:
        options.update(load_balance=0.3)
    if experts == "entropy":
        options.update(gate_entropy=0.1)
    if backbone in ("cgc", "ple", "stem"):
        options.update(task_experts=draw.randint(1, 3), shared_experts=draw.randint(1, 3))
    if backbone == "ple":
        kind = {"ple_shared_gate": "shared", "ple_no_gate": "none"}.get(name, "all")
        options.update(levels=draw.randint(1 if kind == "all" else 2, 3), shared_gate=kind)
    if backbone == "stem":
        options.update(stem_levels=draw.choice([1, 2, 3]), stem_gate_input=draw.choice(["sum", "own"]))
    if backbone == "shared_specific":
        mix = {"learned_mix": "learned", "measured_mix": "measured"}.get(name, "concat")
        options.update(shared_mix=mix)
    return options


def optimiser(draw, name, rates):
    by_task = name.endswith("_by_task")
    name = name.removesuffix("_by_task")
    options = {"optimizer": name, "rate": RATES[name]}
    if by_task:
        options["task_states"] = True
    if name == "adamw":
        options["weight_decay"] = 0.1
    if name == "ftrl":
        options.update(beta=1.0, l2=0.01)
    if rates == "warmup":
        options["schedule"] = {"shape": "constant", "warmup": 20}
    elif rates != "constant":
        options["schedule"] = {"shape": rates, "warmup": 5, "length": 40, "factor": 0.5, "floor": 0.1}
    return options


def label_tools(draw, labels, chosen):
    """What labels count: the section `train.labels`."""
    binary = [task["name"] for task in chosen if task["kind"] == "binary"]
    last = chosen[-1]["name"]
    options = {
        "ratio": {"ratio": {name: draw.choice([0.5, 1, 3]) for name in binary}},
        "oversample": {"oversample": {last: 4}},
        "effective_count": {"effective_count": 0.99},
        "curriculum": {"curriculum": {"labels": draw.choice([50, 400])}},
        "curriculum_steps": {"curriculum": {"steps": {last: 15}}},
    }
    return {"labels": options[labels]} if labels != "plain" else {}


def limited(draw, limits, dense, rows):
    """What holds the optimisers back: an update's or a gradient's bound, and decay."""
    if limits == "clippy":
        dense.update(clip="clippy", clip_relative=0.02, clip_absolute=0.001)
    if limits == "norm":
        dense.update(clip_norm=0.2)
    if limits == "decay":
        rows.update(draw.choice([{"l2": 0.02}, {"decay": 0.05}] if rows["optimizer"] != "ftrl" else [{"l2": 0.02}]))
        if dense["optimizer"] == "sgd":
            dense.update(momentum=0.7)
    return {"dense": dense, "embedding": rows}


def balance(draw, balancer, surgery, chosen):
    method = {"scheduled": "fixed", "uncertainty_raw": "uncertainty", "uncertainty_half": "uncertainty"}.get(
        balancer, balancer
    )
    options = {"method": method, "min_weight": 0.05, "surgery": surgery}
    if surgery == "cagrad":
        options.update(cagrad_radius=0.5)
    if method == "fixed":
        options["weights"] = {task["name"]: round(draw.uniform(0.2, 3), 2) for task in chosen}
    if balancer == "scheduled":
        options.update(window=5, decay={task["name"]: draw.choice([0.9, 1.0, 1.1]) for task in chosen})
    if method == "uncertainty":
        kinds = {"raw": balancer == "uncertainty_raw", "half_for_all": balancer == "uncertainty_half"}
        options.update(rate=0.01, uncertainty=kinds)
    if method == "dwa":
        options.update(window=draw.randint(3, 10), temperature=2)
    if method in ("dtp", "performance"):
        options.update(window=draw.randint(3, 10), share=0.3)
    if method == "dtp":
        options.update(focus=draw.choice([0.5, 1, 2]))
    if method == "gradnorm":
        options["gradnorm"] = {
            "alpha": draw.choice([0.12, 1.5]),
            "rate": 0.025,
            "every": draw.choice([1, 3]),
            "loss_steps": 20,
            "start_steps": 20,
            "start_loss": draw.choice(["measured", "ln2"]),
            "start_drift": draw.choice([0, 0.01]),
        }
    if method != "fixed" and draw.random() < 0.3:
        options.update(warmup_steps=10, weights={chosen[0]["name"]: 2.0})
    return options


def config(draw, case):
    chosen, shape = tasks(draw, case["shape"], case["heads"]), case["shape"]
    if shape == "odd":
        batch = draw.choice([3, 7, 13, 21])
    else:
        batch = {"one_row": 1, **dict.fromkeys(TASKS, 16)}.get(shape) or draw.choice([16, 32, 64])
    drawn = {
        "events": {"sample": {"topic": "samples"}},
        "features": features(draw, case["inputs"]),
        "tasks": chosen,
        "model": model(draw, case["backbone"], shape, case["experts"]),
        "balance": balance(draw, case["balancer"], case["surgery"], chosen),
        "train": {
            "batch": batch,
            **limited(
                draw,
                case["limits"],
                optimiser(draw, case["dense"], case["rates"]),
                optimiser(draw, case["rows"], case["rates"]),
            ),
            **label_tools(draw, case["labels"], chosen),
        },
    }
    if case["backbone"] == "measured_mix":
        drawn["relations"] = {"every": 3, "steps": 1000}
    return drawn


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def value_of(draw, feature, user, item):
    if feature["name"] == "user":
        return f"u{user}"
    if feature["name"] == "item":
        return item  # an integer, looked up as its text
    if feature["name"] == "seen":
        return [draw.randrange(15) for _ in range(draw.randrange(4))]
    if feature["type"] == "numeric":
        return round(draw.gauss(0, 2), 3)
    return [round(draw.gauss(0, 1), 3) for _ in range(feature["width"])]


def sample(draw, config, taste):
    """A row whose labels follow from its features, some of them missing."""
    user, item = draw.randrange(20), draw.randrange(15)
    signal = taste[user] + taste[20 + item]
    values = {
        feature["name"]: value_of(draw, feature, user, item)
        for feature in config["features"]
        if draw.random() >= 0.1 and feature["type"] != "cross"
    }
    labels, happened = {}, {}
    absent = 0.4 if len(config["tasks"]) in TASKS.values() else 0.15
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
        first = not labels and task is config["tasks"][-1]  # a row has a label
        if first or draw.random() > absent:
            labels[name] = label
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
        rows = full if draw.random() < 0.6 or full == 1 else draw.randint(1, full - 1)
        drawn.append([sample(draw, config, taste) for _ in range(rows)])
        for row in drawn[b]:
            row.update(type="sample", time=1_764_000_000_000 + 1000 * b, batch=b)
    return drawn


def weights(draw, arrays):
    """Random values in place of the given ones, biases and gates too; shares of a mix stay."""
    import numpy as np  # same_bits.py does without

    numbers = np.random.default_rng(draw.getrandbits(32))
    drawn = {}
    for name, array in arrays.items():
        if name.startswith("similarity.") and array.any():  # of a measured mix: not logits
            drawn[name] = array.astype(np.float32)
            continue
        if name.endswith(".bias"):
            deviation = 0.1
        elif name.startswith("embedding.") or name.endswith(".temperature"):
            deviation = 0.3
        elif name.endswith((".scale", ".variance")):  # of normalised experts
            drawn[name] = numbers.uniform(0.4, 1.6, array.shape).astype(np.float32)
            continue
        elif name.endswith(".known"):
            drawn[name] = numbers.uniform(0, 1, array.shape).astype(np.float32)
            continue
        elif name.endswith((".shift", ".mean")):
            deviation = 0.2
        else:
            deviation = math.sqrt(1.5 / array.shape[0])
        drawn[name] = (deviation * numbers.standard_normal(array.shape)).astype(np.float32)
    return drawn


def generator(seed):
    return random.Random(seed)
