"""Holds what check-config says of memory against the peak of replays.

For each configuration below a stream is written that fills its tables with so many rows, replayed,
and the replay's peak resident memory is held against `check-config --rows`. Prints a table; exit 1
where the two are further apart than 20 %.

    python3 tests/bench/memory.py [--binary build/release/millrace]
"""
import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile

TABLES = ["a", "b", "c", "d"]
START = 1764000000000


def config(dimension=16, tasks=1, more=""):
    features = "".join(
        f"  - {{name: {name}, type: categorical, dimension: {dimension}}}\n" for name in TABLES)
    names = "".join(f"  - {{name: t{k}}}\n" for k in range(tasks))
    return ("events: {sample: {topic: samples}}\nfeatures:\n" + features + "tasks:\n" + names +
            "store: {path: state}\n" + more)


CASES = [
    ("few rows", 2000, 2000, config()),
    ("100,000 rows of 16", 100000, 100000, config()),
    ("100,000 rows of 4", 100000, 100000, config(dimension=4)),
    ("300,000 rows of 16", 300000, 300000, config()),
    ("300,000 rows of 8, FTRL", 300000, 300000,
     config(dimension=8, more="train: {embedding: {optimizer: ftrl}}\n")),
    ("one commit at the end", 100000, 100000,
     config().replace("path: state", "path: state, commit_every: off")),
    ("40 tasks, batches of 512", 20000, 60000,
     config(tasks=40, more="train: {batch: 512, batch_span: off}\n")),
    ("two models", 100000, 100000, config(
        more="models: [{name: one}, {name: two, model: {backbone: ple}}]\n")),
    ("exact AUC of 500,000 rows", 1000, 500000,
     config(dimension=4, tasks=2, more="evaluate: {exact_auc_rows: 500000}\n")),
]
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def write_events(path, keys, rows, tasks):
    draw = random.Random(1)
    with open(path, "w", encoding="utf-8") as out:
        for i in range(rows):
            out.write(json.dumps({
                "type": "sample", "time": START + 10 * i,
                "features": {name: f"{name}{i % keys}" for name in TABLES},
                "labels": {f"t{k}": draw.randint(0, 1) for k in range(tasks)}}) + "\n")


def estimate(binary, folder, keys):
    text = subprocess.run([binary, "check-config", "--config", "c.yaml", "--rows", str(keys)],
                          cwd=folder, check=True, capture_output=True, text=True).stdout
    number, unit = re.search(r"of these in a replay +([0-9.]+) (\w+)", text).groups()
    return float(number) * UNITS[unit]


def peak(binary, folder):
    """Peak resident memory of a replay, in bytes."""
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.execv(binary, [binary, "replay", "--config", "c.yaml", "--events", "e.jsonl"])
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit(f"replay ended with {status}")
    return usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="build/release/millrace")
    parser.add_argument("--case", help="only those whose name has this in it")
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    print(f"{'configuration':<30}{'check-config':>14}{'peak':>10}{'off by':>9}")
    worst = 0.0
    for name, keys, rows, text in CASES:
        if arguments.case and arguments.case not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "c.yaml"), "w", encoding="utf-8") as out:
                out.write(text)
            write_events(os.path.join(folder, "e.jsonl"), keys, rows, text.count("{name: t"))
            said, taken = estimate(binary, folder, keys), peak(binary, folder)
        off = said / taken - 1
        worst = max(worst, abs(off))
        print(f"{name:<30}{said / 2**20:>10.0f} MiB{taken / 2**20:>6.0f} MiB{100 * off:>7.0f} %",
              flush=True)
    return 1 if worst > 0.2 else 0


if __name__ == "__main__":
    sys.exit(main())
