#!/usr/bin/env python3
"""Holds `millrace bench parity` against the PyTorch code beside this file, on shapes drawn at random.

Prints for each draw the largest relative difference of any array, ‖ours − theirs‖ / ‖theirs‖, after
the steps, and ends with 1 where one is above the tolerance."""

import argparse
import itertools
import json
import math
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
    names = ("config.yaml", "batches.jsonl", "initial", "start", "out", "trace")
    paths = {name: os.path.join(folder, name) for name in names}
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


def apart(ours, reference):
    """{array: difference}"""
    return {name: difference(ours[name], array) for name, array in reference.arrays().items()}


def distance(ours, reference):
    return math.sqrt(sum(float(((ours[name] - array) ** 2).sum()) for name, array in reference.arrays().items()))


class Case:
    """The files of a case, and what comes of them."""

    def __init__(self, binary, config, batches, random, folder):
        self.binary, self.config, self.batches = binary, config, batches
        self.paths, self.files = write_case(folder, binary, config, batches, random)

    def ours(self, steps):
        paths = self.paths
        call(self.binary, *self.files, "--weights", paths["start"], "--steps", str(steps), "--out", paths["out"],
             "--trace", paths["trace"])
        return tensor_file.read(paths["out"])[0]

    def our_trace(self):
        with open(self.paths["trace"]) as file:
            return [json.loads(line)["tasks"] for line in file]

    def reference_beside(self, steps, dtype):
        """As run_reference, but where a ReLU's input is 0 to within rounding both slopes are tried, and
        the one taken is that which leads to our weights. Returns how many were turned, too."""
        arrays, texts = tensor_file.read(self.paths["start"])
        reference, trace, turned = Reference(self.config, arrays, texts, dtype), [], 0
        for s in range(steps):
            batch = self.batches[s % len(self.batches)]
            before = reference.copy()
            told = reference.step(batch)
            unclear = reference.network.unclear
            if unclear:
                ours, places = self.ours(s + 1), set()
                nearest = distance(ours, reference)
                for place in unclear:
                    other = before.copy()
                    other.network.turned = places | {place}
                    other_told = other.step(batch)
                    other.network.turned = set()
                    now = distance(ours, other)
                    if now < nearest:
                        nearest, reference, told = now, other, other_told
                        places = places | {place}
                turned += len(places)
            trace.append(told)
        return reference, trace, turned


def loss_difference(trace, our_trace):
    """The largest of any task and step, relative to the task's mean |loss|."""
    largest = 0.0
    for name in our_trace[0]:
        pairs = [
            (step[name][0], ours[name]["loss"])
            for step, ours in zip(trace, our_trace)
            if step[name][0] is not None
        ]
        size = sum(abs(theirs) for theirs, _ in pairs) / max(1, len(pairs))
        largest = max([largest, *(abs(theirs - ours) / size for theirs, ours in pairs if size > 0)])
    return largest


def compare(binary, config, batches, random, steps, dtype, tolerance, keep=None):
    """{array: difference} after the steps, the largest difference of a task's weight or loss, the number of
    ReLUs whose slope was taken on our side of 0, and {array: difference} of PyTorch in float, if it was
    asked: a number near 0 may be as far from that in double as ours."""
    with tempfile.TemporaryDirectory() as temporary:
        os.makedirs(keep or temporary, exist_ok=True)
        case = Case(binary, config, batches, random, keep or temporary)
        ours, turned, in_float = case.ours(steps), 0, {}
        our_trace = case.our_trace()
        reference, trace = run_reference(config, batches, case.paths["start"], steps, dtype)
        if max(apart(ours, reference).values()) > tolerance:
            reference, trace, turned = case.reference_beside(steps, dtype)
        if max(apart(ours, reference).values()) > tolerance:
            rounded, _ = run_reference(config, batches, case.paths["start"], steps, torch.float32)
            in_float = apart(rounded.arrays(), reference)
    weight = max(
        abs(step[name][1] - our_step[name]["weight"])
        for step, our_step in zip(trace, our_trace)
        for name in step
    )
    return apart(ours, reference), max(weight, loss_difference(trace, our_trace)), turned, in_float


def cases(options):
    """What is asked for, or every pair of what can be drawn."""
    asked = {name: getattr(options, name) for name in draw.FACTORS if getattr(options, name)}
    if options.pairwise:
        chosen = draw.pairwise(draw.generator(f"{options.seed} pairs"))
        return [case for case in chosen if all(case[name] in asked[name] for name in asked)]
    return [draw.case(**dict(zip(asked, values))) for values in itertools.product(*asked.values())]


def name_of(case):
    """What is not usual in it."""
    return " ".join(value for name, value in case.items() if value != draw.USUAL[name]) or "usual"


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="build/release/millrace")
    parser.add_argument("--draws", type=int, default=1, help="per case")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--float32", action="store_true", help="PyTorch in float, not in double")
    parser.add_argument("--keep", help="leave the files of the last draw in this folder")
    parser.add_argument("--pairwise", action="store_true", help="cases in which every two values meet")
    for name, values in draw.FACTORS.items():
        more = list(draw.TASKS) if name == "shape" else []
        parser.add_argument(f"--{name}", nargs="+", choices=values + more)
    return parser.parse_args()


def main():
    options = parse()
    torch.set_num_threads(1)
    dtype = torch.float32 if options.float32 else torch.float64
    largest, above = 0.0, 0
    for case, number in itertools.product(cases(options), range(options.draws)):
        random = draw.generator(f"{options.seed} {number} {sorted(case.items())}")
        config = draw.config(random, case)
        batches = draw.batches(random, config, min(options.steps, 200))
        try:
            differences, weight, turned, in_float = compare(
                options.binary, config, batches, random, options.steps, dtype, options.tolerance, options.keep
            )
        except Refused as refusal:
            print(f"{name_of(case)}: refused: {refusal}", flush=True)
            continue
        name = max(differences, key=differences.get)
        told = f"; {turned} ReLUs within rounding of 0 turned" if turned else ""
        if in_float:
            told += f"; PyTorch in float differs by {in_float[name]:.1e}"
        print(f"{differences[name]:.1e} {weight:.1e} {name_of(case)} #{number} {name}{told}", flush=True)
        largest = max(largest, differences[name], weight)
        far = [array for array in differences if differences[array] > options.tolerance]
        above += weight > options.tolerance or any(
            differences[array] > 2 * in_float.get(array, 0) for array in far
        )
    print(f"largest difference {largest:.1e}; {above} above {options.tolerance:.1e}")
    sys.exit(1 if above else 0)


if __name__ == "__main__":
    main()
