#!/usr/bin/env python3
"""table.py FOLDER: the figures that bench.sh gathered in one run, held against the matrix limit, the
peers and the bars. A bar that is missed is said to be missed; the exit status does not depend on it,
since a busy machine misses bars too."""
import json
import statistics
import sys
from pathlib import Path

# Multiply-adds of one row of S4's step: 416 inputs → 4 × 64 + 2 × 4 units, experts' second layers and
# towers; forward, weight gradients, and input gradients everywhere.
SPARSE_GIGAFLOPS = 2e-9 * 3 * (416 * 264 + 4 * 64 * 64 + 2 * (64 * 32 + 32 * 16 + 16))
# The same of S2: 1000 → 4 × 256 + 2 × 4 units; no input gradients of the first layer.
LARGE_GIGAFLOPS = 2e-9 * (2 * 1000 * 1032 + 3 * (4 * 256 * 256 + 2 * (256 * 128 + 128 * 64 + 64)))
NAMES = {"small": "S1, small MMoE", "large": "S2, large MMoE", "ple2": "S3, PLE", "sparse": "S4, sparse"}
# step: share of the limit, times PyTorch's best
STEPS = [("small", 1024, 0.85, 1.75), ("large", 1024, 0.88, 1.15), ("ple2", 1024, 0.85, 2.4), ("sparse", 4096, 0.70, 2.3)]
BALANCERS = [("uncertainty", 0.02), ("gradnorm", 0.25), ("pcgrad", 0.60)]


def read(pattern):
    """Milliseconds of all rounds: {(name, what, batch, threads): median over rounds}, and all documents.
    Of a peer's several forms in a round the fastest counts."""
    times, documents = {}, []
    for path in sorted(Path(sys.argv[1]).glob(pattern)):
        document = json.loads(path.read_text())
        documents.append(document)
        best = {}
        for row in document["rows"]:
            key = (row["name"], row["what"], row["batch"], row.get("threads", 1))
            best[key] = min(best.get(key, row["ms"]), row["ms"])
        for key, ms in best.items():
            times.setdefault(key, []).append(ms)
    return {key: statistics.median(each) for key, each in times.items()}, documents


def verdict(value, bar, most=False):
    return "met" if (value <= bar if most else value >= bar) else "MISSED"


def print_steps(ours, peer, shares, limit):
    print(f"{'step, one thread':<20}{'ms':>9}{'of limit':>10}{'bar':>7}{'':>8}{'PyTorch':>10}{'of limit':>10}{'ratio':>8}{'bar':>7}")
    for name, batch, share_bar, ratio_bar in STEPS:
        ms = ours.get((name, "train", batch, 1))
        if ms is None:
            print(f"{NAMES[name]:<20}{'not measured':>9}")
            continue
        share = shares.get(name) or SPARSE_GIGAFLOPS * batch / ms * 1e3 / limit
        line = f"{NAMES[name]:<20}{ms:>9.3f}{share:>10.0%}{share_bar:>7.0%}{verdict(share, share_bar):>8}"
        other = peer.get((name, "train", batch, 1))
        if other:
            line += f"{other:>10.3f}{share * ms / other:>10.0%}{other / ms:>8.2f}{ratio_bar:>7} {verdict(other / ms, ratio_bar)}"
        print(line)


def print_others(ours, onnx, limit):
    def line(label, value, unit, bar, most):
        if value is not None:
            print(f"{label:<48}{value:>9.3f} {unit:<3} bar {bar:<6} {verdict(value, bar, most)}")

    peer = onnx.get(("small", "infer", 100, 1))
    for name, bar in (("small", 1.6), ("small context", 1.9)):
        ms = ours.get((name, "score", 100, 1))
        if peer and ms:
            line(f"score 100 candidates, {name}: ONNX Runtime {peer:.3f} ms over {ms:.3f}", peer / ms, "x", bar, False)
    one = ours.get(("small", "train", 1, 1))
    bf16 = ours.get(("large", "train bf16", 1024, 1))
    line("S2 with bf16 products, over the f32 limit's time", bf16 and bf16 / (LARGE_GIGAFLOPS * 1024 / limit * 1e3), "x", 0.65, True)
    line("a step of one row, S1", one and one * 1e3, "us", 35, True)
    for name in ("small", "large", "ple2"):
        one, two = ours.get((name, "train", 4096, 1)), ours.get((name, "train", 4096, 2))
        line(f"two threads over one, 4,096 rows, {NAMES[name][:2]}", one / two if one and two else None, "x", 1.8, False)
    fixed = ours.get(("balance", "fixed", 1024, 1))
    for method, bar in BALANCERS:
        ms = ours.get(("balance", method, 1024, 1))
        line(f"{method}: extra time of the step", ms / fixed - 1 if ms and fixed else None, "", bar, True)


def main():
    ours, learner = read("learner-*.json")
    for pattern in ("step-*.json", "trainer.json", "score.json"):
        ours.update(read(pattern)[0])
    peer, onnx = read("torch-*.json")[0], read("onnx-*.json")[0]
    limit = statistics.median(document["products_gflops"] for document in learner)
    shares = {}
    for document in learner:
        for row in document["rows"]:
            if (row["what"], row["batch"], row["threads"]) == ("train", 1024, 1):
                # Each round's own limit: the machine is not always equally fast.
                shares.setdefault(row["name"], []).append(row["share"])
    shares = {name: statistics.median(each) for name, each in shares.items()}
    print(f"matrix limit: {limit:.1f} GF/s, the best single product of {learner[0]['products']}")
    print_steps(ours, peer, shares, limit)
    print()
    print_others(ours, onnx, limit)
    print(f"\n{'everything measured':<34}{'ms':>12}{'rows/s':>12}{'peer':>12}{'ratio':>8}")
    for (name, what, batch, threads), ms in ours.items():
        other = peer.get((name, what, batch, threads))
        label = f"{name} {what} {batch}" + (f", {threads} threads" if threads > 1 else "")
        print(f"{label:<34}{ms:>12.4f}{batch / ms * 1e3:>12,.0f}" + (f"{other:>12.3f}{other / ms:>8.2f}" if other else ""))


if __name__ == "__main__":
    main()
