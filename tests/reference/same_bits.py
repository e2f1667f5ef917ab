#!/usr/bin/env python3
"""Holds that the same events give the same digest, whatever the threads and the restarts.

Draws configurations in which every two values of any two options meet, and a stream of impressions,
outcomes and their delays for each; replays it with one thread, with two, and in pieces, each of which
goes on from the store of those before it with another number of threads. Prints a line for each draw, and
ends with 1 where a digest differs, a batch was skipped, or a figure is not finite.

    python3 tests/reference/same_bits.py
    python3 tests/reference/same_bits.py --many   # 128 tasks, 40 % of the labels missing"""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile

import draw

START = 1_764_000_000_000
OUTCOMES = {"click": "10m", "cart": "20m", "buy": "1h", "like": "30m", "dwell": "30m", "visits": "30m"}
FACTORS = {
    "backbone": draw.FACTORS["backbone"],
    "balancer": draw.FACTORS["balancer"],
    "surgery": draw.FACTORS["surgery"],
    "dense": draw.FACTORS["dense"],
    "rows": draw.FACTORS["rows"],
    "inputs": draw.FACTORS["inputs"],
    "experts": draw.FACTORS["experts"],
    "rates": draw.FACTORS["rates"],
    "policy": ["wait", "fnw", "fnc", "es_dfm", "defer", "defuse", "dfm"],
    "tool": [
        "none",
        "ratio",
        "oversample",
        "effective_count",
        "curriculum",
        "curriculum_steps",
        "negatives",
        "negatives_by_ratio",
        "negatives_served",
        "shed",
        "user_cap",
    ],
    "watched": ["plain", "recalibrate", "exact_auc", "spans", "importance"],
    "table": ["plain", "admitted", "bloom", "expiring", "full"],
    "clip": ["off", "clippy", "norm"],
    "dropped": ["none", "gates", "units"],
    "batch": ["size", "span", "small"],
}
METHODS = ["fixed", "uncertainty", "gradnorm", "dwa", "dtp", "performance", "random"]
BACKBONES = ["shared_bottom", "mmoe", "cgc", "ple", "stem", "shared_specific", "separate"]


def is_possible(chosen):
    if not draw.is_possible({name: chosen[name] for name in chosen if name in draw.FACTORS}):
        return False
    ungated = chosen.get("backbone") in draw.UNGATED
    dropped = chosen.get("dropped", "none")
    if "backbone" in chosen and dropped != "none" and (dropped == "gates") == ungated:
        return False
    if dropped == "units" and chosen.get("experts", "plain") != "plain":
        return False  # it needs experts, which drop no units
    if chosen.get("inputs") == "dense" and chosen.get("table", "plain") != "plain":
        return False
    # Who waits for no label has none to sample by.
    return chosen.get("policy", "wait") == "wait" or "negatives" not in chosen.get("tool", "none")


def tasks(random, tool):
    """All given the click where its negatives are left out unweighed: what stands beside it would be biased."""
    chosen = [{"name": "click"}, {"name": "cart", "given": "click"}]
    if random.random() < 0.5:
        chosen.append({"name": "buy", "given": "cart"})
    if random.random() < 0.5:
        chosen.append({"name": "like", "given": "click", "entire_space": False})
    if random.random() < 0.5:
        chosen.append({"name": "dwell", "kind": random.choice(["regression", "duration"])})
    if random.random() < 0.5:
        chosen.append({"name": "visits", "kind": "count", "aggregate": "sum", "absent": 0})
    if tool == "negatives_served":
        chosen = [task for task in chosen if task["name"] in ("click", "cart", "buy", "like")]
    for task in chosen:
        task.setdefault("kind", "binary")
    return chosen


def tools(case, chosen):
    """What the section `train` has of them, and the guardrails."""
    tool, train, guardrails = case["tool"], {}, {}
    labels = {
        "ratio": {"ratio": {"click": 1, "cart": 2}},
        "oversample": {"oversample": {chosen[-1]["name"]: 4}},
        "effective_count": {"effective_count": 0.99},
        "curriculum": {"curriculum": {"labels": 60}},
        "curriculum_steps": {"curriculum": {"steps": {chosen[-1]["name"]: 4}}},
    }
    sampling = {
        "negatives": {"rate": 0.5},
        "negatives_by_ratio": {"ratio": 1.5},
        "negatives_served": {"rate": 0.5, "correct": "serving"},
    }
    if tool in labels and (tool, case["policy"]) != ("ratio", "dfm"):  # which is refused
        train["labels"] = labels[tool]
    if tool in sampling:
        train["negative_sampling"] = sampling[tool]
    if tool == "shed":
        train["shed"] = 0.7
    if tool == "user_cap":
        guardrails["user_cap"] = {"rows": 20, "window": "30m"}
    if case["policy"] != "wait":
        short = {"short_wait": "3m"} if case["policy"] in ("es_dfm", "defer", "defuse", "dfm") else {}
        own = {"policy": case["policy"], **short}
        train["delayed_feedback"] = {"click": own, "cart": own}
    return train, guardrails


def evaluation(case, chosen):
    features = {
        "exact_auc": {"exact_auc_rows": 300},
        "spans": {"window": "30m", "long_window": "2h", "slices": {"event": True}, "gauc_rows": 500},
        "importance": {"importance": {"every": 2}, "gates": {"every": 2}},
    }
    evaluate = features.get(case["watched"], {})
    if case["watched"] == "spans" and case["policy"] == "wait" and len(chosen) > 2:
        evaluate["business"] = {"expected": "click * cart"}
    return evaluate


def table(case):
    return {
        "admitted": {"admit_after": 3},
        "bloom": {"admit_after": 3, "admission": "bloom", "admission_memory": "8KiB"},
        "expiring": {"expire_after": "10m"},
        "full": {"max_rows": 12, "evict": "oldest"},
    }.get(case["table"], {})


def config(random, case):
    chosen = tasks(random, case["tool"])
    train, guardrails = tools(case, chosen)
    batch = {"size": 400, "span": 300, "small": 40}[case["batch"]]
    dense = draw.optimiser(random, case["dense"], case["rates"])
    if case["clip"] == "clippy":
        dense.update(clip="clippy", clip_relative=0.05, clip_absolute=0.001)
    if case["clip"] == "norm":
        dense.update(clip_norm=0.05)
    model = draw.model(random, case["backbone"], "usual", case["experts"])
    if case["dropped"] == "gates":
        model["gate_dropout"] = 0.2
    if case["dropped"] == "units":
        model["dropout"] = 0.2
    recalibrated = {"recalibrate": {"click": 500, "cart": 500}} if case["watched"] == "recalibrate" else {}
    return {
        "events": {"impression": {}, **{name: {"window": window} for name, window in OUTCOMES.items()}},
        "features": draw.features(random, case["inputs"]),
        "embeddings": table(case),
        "tasks": chosen,
        "model": model,
        "balance": draw.balance(random, case["balancer"], case["surgery"], chosen),
        "relations": {"every": 3},
        "train": {
            "batch": batch,
            "batch_span": "10m" if case["batch"] == "span" else "off",
            "dense": dense,
            "embedding": draw.optimiser(random, case["rows"], case["rates"]),
            **train,
            **recalibrated,
        },
        "guardrails": guardrails,
        "evaluate": evaluation(case, chosen),
    }


def outcomes(random, signal):
    """[(name, delay in ms, value)]"""
    found = []

    def happens(name, shift, mean, value=None):
        happened = random.random() < draw.sigmoid(signal + shift)
        if happened:
            found.append((name, int(1000 * random.expovariate(1 / mean)), value))
        return happened

    if happens("click", -0.5, 120):
        if happens("cart", -0.3, 300):
            happens("buy", 0, 900)
        happens("like", 0, 200)
    happens("dwell", 1, 200, round(math.exp(signal / 2 + random.gauss(0, 0.5)), 3))
    for _ in range(random.randrange(3)):
        happens("visits", 0, 200, 1)
    return found


def events(random, config, count):
    """Lines in the order of their times; some impressions and outcomes come late or twice."""
    taste = [random.gauss(0, 0.7) for _ in range(35)]
    lines = []
    for i in range(count):
        now = START + 5000 * i
        user, item = random.randrange(20), random.randrange(15)
        values = {
            feature["name"]: draw.value_of(random, feature, user, item)
            for feature in config["features"]
            if random.random() >= 0.1 and feature["type"] != "cross"
        }
        event = {"type": "impression", "impression_id": f"i{i}", "time": now, "features": values}
        event.update(user=f"u{user}", slice=random.choice(["de", "fr", "it"]))
        if random.random() < 0.2:
            event["sampling_rate"] = 0.5
        lines.append((now + random.randrange(2000), i, json.dumps(event)))
        for name, delay, value in outcomes(random, taste[user] + taste[20 + item]):
            outcome = {"type": name, "impression_id": f"i{i}", "time": now + delay}
            if value is not None:
                outcome["value"] = value
            lines.append((now + delay + random.randrange(20_000), i, json.dumps(outcome)))
    return [line for _, _, line in sorted(lines)]


def many(random, backbone, method, surgery):
    """128 tasks of all kinds."""
    others = ["count", "duration", "regression"]
    kinds = [{}, {"kind": "regression", "loss": "huber"}, {}, *({"kind": kind} for kind in others)]
    return {
        "events": {"sample": {}},
        "features": [
            {"name": "user", "type": "categorical", "dimension": 3, "context": True},
            {"name": "item", "type": "categorical", "dimension": 2},
            {"name": "price", "type": "numeric", "transform": "log1p"},
        ],
        "tasks": [{"name": f"t{k}", "kind": "binary", **kinds[k % len(kinds)]} for k in range(128)],
        "model": {
            "backbone": backbone,
            "expert_layers": [4],
            "tower_layers": [2],
            **({"experts": 2} if backbone == "mmoe" else {}),
            **({"task_experts": 1, "shared_experts": 1} if backbone in ("cgc", "ple", "stem") else {}),
        },
        "balance": {"method": method, "surgery": surgery, "window": 2},
        "relations": {"every": 2},
        "train": {"batch": 150, "batch_span": "off"},
        "evaluate": {"history": {"points": 0}, "gauc_rows": 0},
    }


def samples(random, config, count):
    taste = [random.gauss(0, 0.7) for _ in range(35)]
    lines = []
    for i in range(count):
        user, item = random.randrange(20), random.randrange(15)
        signal = taste[user] + taste[20 + item]
        labels = {}
        for task in config["tasks"]:
            value = signal + random.gauss(0, 1)
            label = int(value > 0.5) if task["kind"] == "binary" else round(value, 3)
            if task["kind"] in ("count", "duration"):
                label = int(math.exp(value / 2))
            if random.random() >= 0.4:
                labels[task["name"]] = label
        features = {"user": f"u{user}", "item": item, "price": round(random.gauss(0, 2), 3)}
        sample = {"type": "sample", "time": START + 1000 * i, "features": features, "labels": labels}
        lines.append(json.dumps(sample))
    return lines


def replay(binary, folder, store, threads, flush):
    arguments = ["--set", f"store.path={store}", f"train.threads={threads}", *(["--flush"] if flush else [])]
    done = subprocess.run(
        [binary, "replay", "--config", "c.yaml", "--events", "e.jsonl", "--report", "r.json", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if done.returncode == 78:
        return None, done.stderr.strip()
    if done.returncode != 0:
        return {"digest": f"exit code {done.returncode}"}, done.stderr[-2000:]
    with open(os.path.join(folder, "r.json"), encoding="utf-8") as file:
        return json.load(file), ""


def fault(report):
    """What is wrong with a report by itself."""
    if sum(report["dead_letters"].values()):
        return "dead letters"
    if report["guardrails"]["quarantine"]:
        return "a batch was not finite"
    if any(not math.isfinite(task["weight"]) for task in report["tasks"].values()):
        return "a weight is not finite"
    return "" if report["rows"] else "no rows"


def check(binary, config, lines, random):
    """One draw: an empty text, or what differs; and the digest."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "c.yaml"), "w", encoding="utf-8") as file:
            json.dump(config, file)

        def give(count):
            with open(os.path.join(folder, "e.jsonl"), "w", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in lines[:count])

        give(len(lines))
        one, problem = replay(binary, folder, "one", 1, True)
        if one is None:
            return "refused: " + problem, ""
        if problem or fault(one):
            return problem or fault(one), one["digest"]
        two, problem = replay(binary, folder, "two", 2, True)
        if two["digest"] != one["digest"]:
            return f"two threads differ {problem}", one["digest"]
        cuts = sorted(random.sample(range(1, len(lines)), 2))
        for cut, threads in zip([*cuts, len(lines)], [1, 2, 1]):
            give(cut)
            pieces, problem = replay(binary, folder, "pieces", threads, cut == len(lines))
            if problem:
                return f"after {cuts}: {problem}", one["digest"]
        if pieces["digest"] != one["digest"]:
            return f"restarts at {cuts} differ", one["digest"]
    return "", one["digest"]


def drawn_cases(options):
    """(name, configuration, lines, random)"""
    if options.many:
        chosen = itertools.product(BACKBONES, METHODS, draw.FACTORS["surgery"])
        for backbone, method, surgery in chosen:
            if backbone == "separate" and method == "gradnorm":
                continue
            random = draw.generator(f"{options.seed} {backbone} {method} {surgery}")
            drawn = many(random, backbone, method, surgery)
            yield f"{backbone} {method} {surgery}", drawn, samples(random, drawn, options.rows or 700), random
        return
    chosen = draw.pairwise(draw.generator(f"{options.seed} pairs"), FACTORS, is_possible)
    usual = {name: values[0] for name, values in FACTORS.items()}
    for case in chosen:
        random = draw.generator(f"{options.seed} {sorted(case.items())}")
        drawn = config(random, case)
        name = " ".join(value for key, value in case.items() if value != usual[key])
        yield name, drawn, events(random, drawn, options.rows or 1500), random


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/millrace")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, help="of each stream")
    parser.add_argument("--many", action="store_true", help="every balancer with 128 tasks")
    parser.add_argument("--only", help="draws whose name has this text")
    parser.add_argument("--print", action="store_true", help="the configuration of each draw")
    options = parser.parse_args()
    bad = count = 0
    for name, drawn, lines, random in drawn_cases(options):
        if options.only and options.only not in name:
            continue
        problem, digest = check(os.path.abspath(options.binary), drawn, lines, random)
        print(f"{digest[:16]:16} {name}{': ' + problem if problem else ''}", flush=True)
        if options.print:
            print(json.dumps(drawn))
        count += 1
        bad += bool(problem)
    print(f"{count} draws, {bad} with a difference")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
