#!/usr/bin/env python3
"""Holds `millrace bench parity` against the PyTorch code beside this file, on shapes drawn at random.

Prints for each draw the largest relative difference of any array, ‖ours − theirs‖ / ‖theirs‖, after
the steps, and ends with 1 where one is above the tolerance."""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

import draw
import tensor_file
from step import Reference


class Refused(Exception):
    """The configuration asks for what the program does not have."""


def call(binary, *arguments):
    done = subprocess.run([binary, "bench", "parity", *arguments], capture_output=True, text=True)
    if done.returncode == 78:
        raise Refused(done.stderr.strip())
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}\n{done.stderr}")


def write_case(folder, binary, config, batches, random):
    """Files of one case: configuration, batches, and drawn weights of the right shapes."""
    paths = {name: os.path.join(folder, name) for name in ("config.yaml", "batches.jsonl", "initial", "start", "out", "trace")}
    with open(paths["config.yaml"], "w") as file:
        json.dump(config, file, indent=1)  # JSON is YAML
    with open(paths["batches.jsonl"], "w") as file:
        for row in itertools.chain.from_iterable(batches):
            file.write(json.dumps(row) + "\n")
    files = ("--config", paths["config.yaml"], "--batches", paths["batches.jsonl"])
    call(binary, *files, "--write-initial", paths["initial"])
    arrays, texts = tensor_file.read(paths["initial"])
    arrays = {name: array for name, array in arrays.items() if not name.startswith("standardisation.")}
    tensor_file.write(paths["start"], draw.weights(random, arrays), texts)
    return paths, files


def difference(ours, theirs):
    size = np.linalg.norm(theirs)
    return float(np.linalg.norm(ours - theirs) / size) if size > 0 else float(np.linalg.norm(ours))


def run_reference(config, batches, start, steps, dtype):
    arrays, texts = tensor_file.read(start)
    reference = Reference(config, arrays, texts, dtype)
    trace = [reference.step(batches[s % len(batches)]) for s in range(steps)]
    return reference, trace


def compare(binary, config, batches, random, steps, dtype, keep=None):
    """{array: difference} after the steps, and the largest difference of a task's weight."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or temporary
        os.makedirs(folder, exist_ok=True)
        paths, files = write_case(folder, binary, config, batches, random)
        call(binary, *files, "--weights", paths["start"], "--steps", str(steps), "--out", paths["out"],
             "--trace", paths["trace"])
        ours, _ = tensor_file.read(paths["out"])
        with open(paths["trace"]) as file:
            our_trace = [json.loads(line)["tasks"] for line in file]
        reference, trace = run_reference(config, batches, paths["start"], steps, dtype)
    differences = {name: difference(ours[name], array) for name, array in reference.arrays().items()}
    weight = max(
        abs(step[name][1] - our_step[name]["weight"])
        for step, our_step in zip(trace, our_trace)
        for name in step
    )
    return differences, weight


def cases(options):
    """Every backbone with every balancer, and every pair of optimisers; or the product of what is
    asked for."""
    if any((options.backbones, options.balancers, options.dense, options.rows)):
        lists = (
            options.backbones or ["mmoe"],
            options.balancers or ["fixed"],
            options.dense or ["adam"],
            options.rows or ["adagrad"],
        )
        return list(itertools.product(*lists))
    chosen = list(itertools.product(draw.BACKBONES, draw.BALANCERS, ["adam"], ["adagrad"]))
    chosen += itertools.product(["mmoe"], ["fixed"], draw.DENSE, draw.ROWS)
    return list(dict.fromkeys(chosen))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="build/release/millrace")
    parser.add_argument("--draws", type=int, default=1, help="per combination")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--float32", action="store_true", help="PyTorch in float, not in double")
    parser.add_argument("--keep", help="leave the files of the last draw in this folder")
    parser.add_argument("--backbones", nargs="+", choices=draw.BACKBONES)
    parser.add_argument("--balancers", nargs="+", choices=draw.BALANCERS)
    parser.add_argument("--dense", nargs="+", choices=draw.DENSE)
    parser.add_argument("--rows", nargs="+", choices=draw.ROWS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    dtype = torch.float32 if options.float32 else torch.float64
    largest = 0.0
    for case, number in itertools.product(cases(options), range(options.draws)):
        random = draw.generator(f"{options.seed} {number} {case}")
        config = draw.config(random, *case)
        batches = draw.batches(random, config, min(options.steps, 200))
        try:
            differences, weight = compare(
                options.binary, config, batches, random, options.steps, dtype, options.keep
            )
        except Refused as refusal:
            print(f"{' '.join(case):48} refused: {refusal}", flush=True)
            continue
        name = max(differences, key=differences.get)
        print(f"{' '.join(case):48} {differences[name]:.1e} {name:34} task weights {weight:.1e}", flush=True)
        largest = max(largest, differences[name], weight)
    print(f"largest difference {largest:.1e}, tolerance {options.tolerance:.1e}")
    sys.exit(0 if largest <= options.tolerance else 1)


if __name__ == "__main__":
    main()
