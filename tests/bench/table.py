#!/usr/bin/env python3
"""table.py FOLDER: the figures that bench.sh gathered, as one table with ratios against the peer."""
import json
import statistics
import sys
from pathlib import Path


def rows_of(pattern):
    """Every round's rows per second: {(name, what, batch): [rate, …]}; of a peer's forms the best."""
    rates = {}
    for path in sorted(Path(sys.argv[1]).glob(pattern)):
        best = {}
        for row in json.loads(path.read_text())["rows"]:
            key = (row["name"], row["what"], row["batch"])
            best[key] = max(best.get(key, 0), row["per_s"])
        for key, rate in best.items():
            rates.setdefault(key, []).append(rate)
    return {key: statistics.median(each) for key, each in rates.items()}


def main():
    ours, peer = rows_of("learner-*.json"), rows_of("torch-*.json")
    print(f"{'one thread':<34}{'rows/s':>12}{'PyTorch':>12}{'ratio':>8}")
    for (name, what, batch), rate in ours.items():
        other = peer.get((name, what, batch))
        label = f"{name} {'train' if what == 'train' else 'score'} {batch}"
        print(f"{label:<34}{rate:>12,.0f}" + (f"{other:>12,.0f}{rate / other:>8.2f}" if other else ""))
    for (name, what, batch), rate in {**rows_of("trainer.json"), **rows_of("score.json")}.items():
        print(f"{name + ' ' + what + ' ' + str(batch):<34}{rate:>12,.0f}")


if __name__ == "__main__":
    main()
