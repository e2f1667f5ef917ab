#!/usr/bin/env python3
"""The whole path from a file on two cores, commits on, beside the same path in Python with PyTorch.

whole_path.py [--impressions N] [--rounds R]: alternates `millrace replay` on the contract's
configuration and tests/peers/python_stack.py (no commits, no exactly-once) over the same events, and
prints events per second of each and their ratio. Run by `make bench` with its environment.
"""
import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def ours(events, folder, number):
    report = subprocess.run(
        [str(TOP / "build/release/millrace"), "replay", "--config",
         str(TOP / "tests/data/contract/millrace.yaml"), "--events", events,
         "--set", f"store.path={folder}/state-{number}"],
        check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    report = json.loads(report.splitlines()[-1])
    return report["events"] / report["seconds"]


def peer(events, threads):
    text = subprocess.run(
        [sys.executable, str(TOP / "tests/peers/python_stack.py"), "--events", events,
         "--threads", str(threads)], check=True, text=True, stdout=subprocess.PIPE).stdout
    return float(re.search(r"events/s (\d+)", text).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--impressions", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        events = f"{folder}/events.jsonl"
        with open(events, "w", encoding="utf-8") as file:
            subprocess.run([sys.executable, str(TOP / "tests/peers/gen_events.py"),
                            str(options.impressions), "1", "0.01"], check=True, stdout=file)
        mine, theirs = [], []
        for number in range(options.rounds):
            mine.append(ours(events, folder, number))
            theirs.append(max(peer(events, 1), peer(events, 2)))
        ratios = [a / b for a, b in zip(mine, theirs)]
        print(f"whole path from a file, two cores: {statistics.median(mine):,.0f} events/s; "
              f"Python and PyTorch, best of 1 and 2 threads: {statistics.median(theirs):,.0f} events/s; "
              f"ratio {statistics.median(ratios):.2f} (least {min(ratios):.2f})")


if __name__ == "__main__":
    main()
