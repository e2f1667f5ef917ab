#!/usr/bin/env python3
"""Writes tests/data/reference: what PyTorch's step comes to on small fixed cases.

`make test` holds the learner against these numbers without PyTorch (tests/ops/parity). The program
is asked for the shapes of the weights alone."""

import argparse
import glob
import itertools
import json
import os
import tempfile

import numpy as np
import torch

import compare
import draw
import tensor_file

STEPS = 60
BATCHES = 14
SIGNS = 2

FEATURES = [
    {"name": "user", "type": "categorical", "dimension": 3, "context": True},
    {"name": "item", "type": "categorical", "dimension": 4},
    {"name": "seen", "type": "bag", "dimension": 4, "pooling": "mean", "table": "item"},
    {"name": "price", "type": "numeric", "transform": "log1p", "standardize": True},
    {"name": "vector", "type": "dense", "width": 3},
]
TASKS = [
    {"name": "click", "kind": "binary"},
    {"name": "cart", "kind": "binary", "given": "click", "entire_space": True},
    {"name": "buy", "kind": "binary", "given": "cart", "entire_space": True},
    {"name": "dwell", "kind": "regression", "transform": "log1p"},
    {"name": "price", "kind": "regression", "loss": "huber", "delta": 0.7},
    {"name": "times", "kind": "count"},
]
CROSS = {"name": "both", "type": "cross", "of": ["user", "item"], "dimension": 2}
LAYERS = {"expert_layers": [6, 4], "gate_layers": [], "tower_layers": [4]}
EXPERTS = {"task_experts": 1, "shared_experts": 2}
MODELS = {
    "mmoe": {"backbone": "mmoe", "experts": 3},
    "one_gate": {"backbone": "mmoe", "experts": 3, "one_gate": True},
    "cgc": {"backbone": "cgc", **EXPERTS},
    "ple": {"backbone": "ple", **EXPERTS, "levels": 2},
    "ple_shared_gate": {"backbone": "ple", **EXPERTS, "levels": 2, "shared_gate": "shared"},
    "ple_no_gate": {"backbone": "ple", **EXPERTS, "levels": 2, "shared_gate": "none"},
    "stem": {"backbone": "stem", **EXPERTS, "stem_levels": 1, "stem_gate_input": "sum"},
    "shared_bottom": {"backbone": "shared_bottom"},
    "shared_specific": {"backbone": "shared_specific", "shared_mix": "concat"},
    "separate": {"backbone": "separate"},
    "learned_mix": {"backbone": "shared_specific", "shared_mix": "learned"},
    "measured_mix": {"backbone": "shared_specific", "shared_mix": "measured"},
}
OF_EXPERTS = {
    "plain": {},
    "normalised": {"expert_norm": True},
    "balanced": {"load_balance": 0.3},
    "normalised_balanced": {"expert_norm": True, "load_balance": 0.3},
    "entropy": {"gate_entropy": 0.1},
}

# Whose first draw met a ReLU whose input is 0 to within rounding (compare.py).
REDRAWN = {"ple-normalised": "ple-normalised again"}

COMMON = ("events", "features", "tasks")  # of all cases' configurations
COMMON_FILE = "common.part"


def config(case):
    chosen = draw.config(draw.generator("reference"), {**case, "backbone": "mmoe"})
    balance = draw.balance(draw.generator("reference"), case["balancer"], case["surgery"], TASKS)
    model = {**MODELS[case["backbone"]], **LAYERS, **OF_EXPERTS[case["experts"]]}
    features = FEATURES + [CROSS] if case["inputs"] == "crosses" else FEATURES
    chosen.update(features=features, tasks=TASKS, model=model, balance=balance)
    chosen["train"]["batch"] = 16
    if case["backbone"] == "measured_mix":
        chosen["relations"] = {"every": 3, "steps": 1000}
    return chosen


def cases():
    """Every backbone with some balancers, every other value with an MMoE."""
    some = [{}, {"surgery": "pcgrad"}]
    chosen = [draw.case(backbone=name, **more) for name in MODELS for more in some]
    kinds = {MODELS[name]["backbone"] for name in MODELS}
    chosen += [draw.case(backbone=name, balancer="gradnorm") for name in MODELS if name in kinds - {"separate"}]
    for factor in ("balancer", "surgery", "dense", "rows", "rates", "experts"):
        chosen += [draw.case(**{factor: value}) for value in draw.FACTORS[factor]]
    combined = {"balancer": "uncertainty", "surgery": "cagrad"}
    chosen += [draw.case(backbone=name, **combined) for name in ("mmoe", "ple", "stem")]
    for name in ("shared_bottom", "ple", "stem"):
        chosen.append(draw.case(backbone=name, dense="adam_by_task", balancer="uncertainty"))
    for name in ("one_gate", "ple", "stem"):
        chosen.append(draw.case(backbone=name, experts="normalised_balanced"))
    chosen.append(draw.case(experts="normalised", balancer="gradnorm", surgery="pcgrad"))
    chosen += [draw.case(backbone=name, inputs="crosses") for name in ("mmoe", "stem")]
    return list({name_of(case): case for case in chosen}.values())


def name_of(case):
    """Of letters, digits, _ and -."""
    changed = [(name, value) for name, value in case.items() if value != draw.USUAL[name] and name != "backbone"]
    values = [f"{name}_{value}" if name in ("dense", "rows", "rates") else value for name, value in changed]
    return "-".join([case["backbone"], *values])


def start_of(case):
    """The name of the weights that it starts from: those of one shape are shared."""
    parts = [case["backbone"]]
    parts += ["normalised"] if "normalised" in case["experts"] else []
    parts += ["crosses"] if case["inputs"] == "crosses" else []
    return "-".join(parts)


def signs(which, count):
    """A fixed row of 1 and −1."""
    places = (np.arange(count, dtype=np.uint64) * 2654435761 + 40503 * (which + 1)) % 2**32
    return np.where((places >> 16) & 1, 1.0, -1.0)


def figures(array):
    """The norm, and sums with signs: of two arrays that differ by d these differ by about ‖d‖."""
    flat = np.asarray(array, np.float64).ravel()
    return [float(np.linalg.norm(flat))] + [float(signs(i, flat.size) @ flat) for i in range(SIGNS)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="build/release/millrace")
    parser.add_argument("--out", default="tests/data/reference")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.makedirs(options.out, exist_ok=True)
    for old in glob.glob(os.path.join(options.out, "*.*")):
        os.remove(old)
    batches = draw.batches(draw.generator("batches"), config(draw.case()), BATCHES)
    with open(os.path.join(options.out, "batches.jsonl"), "w") as file:
        for row in itertools.chain.from_iterable(batches):
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
    with open(os.path.join(options.out, COMMON_FILE), "w") as file:
        json.dump({key: config(draw.case())[key] for key in COMMON}, file, indent=1)
        file.write("\n")
    for case in cases():
        start = os.path.join(options.out, start_of(case) + ".safetensors")
        try:
            with tempfile.TemporaryDirectory() as folder:
                numbers = draw.generator(REDRAWN.get(start_of(case), start_of(case)))
                paths, _ = compare.write_case(folder, options.binary, config(case), batches, numbers)
                tensor_file.write(start, *tensor_file.read(paths["start"]))
        except compare.Refused as refusal:
            print(name_of(case), "refused:", refusal, flush=True)
            continue
        reference, _ = compare.run_reference(config(case), batches, start, STEPS, torch.float64)
        arrays = reference.arrays()
        with open(os.path.join(options.out, name_of(case) + ".json"), "w") as file:
            common = config(draw.case())
            own = {
                key: value
                for key, value in config(case).items()
                if key not in COMMON or value != common[key]
            }
            content = {"start": os.path.basename(start), "steps": STEPS, "config": own}
            lines = ",\n".join(
                f'  [{", ".join(f"{value:.6g}" for value in figures(arrays[name]))}]'
                for name in tensor_file.read(start)[0]
            )
            file.write(json.dumps(content)[:-1] + ',\n "expected": [\n' + lines + "\n ]}\n")
        print(name_of(case), flush=True)


if __name__ == "__main__":
    main()
