#!/usr/bin/env python3
"""The whole path on two cores, beside the same path in Python with PyTorch.

whole_path.py [--impressions N] [--rounds R] [--no-kafka]: the contract's configuration over the same
events from a file and from a real Kafka (three partitions a topic), alternating `millrace replay`
with commits, without commits, and tests/peers/python_stack.py (no commits, no exactly-once). Prints
events per second, their ratios, what commits cost, and where our time went. Run by `make bench` with
its environment.
"""
import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
KAFKA = str(TOP / "tests/support/kafka/kafka.sh")
TOPIC = {"impression": "impressions", "click": "clicks", "conversion": "conversions",
         "dwell": "dwell", "like": "likes"}


def ours(source, store, commit_every="500ms"):
    """Our report of one run into a new store."""
    command = [str(TOP / "build/release/millrace"), "replay", "--config",
               str(TOP / "tests/data/contract/millrace.yaml"), *source,
               "--set", f"store.path={store}", "--set", f"store.commit_every={commit_every}"]
    text = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout
    return json.loads(text.splitlines()[-1])


def rate_of(report):
    return report["events"] / report["seconds"]


def peer(source):
    """The better of one and two threads."""
    rates = []
    for threads in ("1", "2"):
        text = subprocess.run(
            [sys.executable, str(TOP / "tests/peers/python_stack.py"), *source,
             "--threads", threads], check=True, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL).stdout
        rates.append(float(re.search(r"events/s (\d+)", text).group(1)))
    return max(rates)


@contextlib.contextmanager
def kafka_with(events):
    """A real Kafka that holds the events; gives its address."""
    from confluent_kafka import Producer
    with tempfile.TemporaryDirectory() as folder:
        brokers = subprocess.run([KAFKA, "start", folder], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout.split()[-1]
        try:
            for topic in TOPIC.values():
                subprocess.run([KAFKA, "topic", folder, topic, "3"], check=True,
                               stdout=subprocess.DEVNULL)
            producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50,
                                 "queue.buffering.max.messages": 1_000_000})
            with open(events, encoding="utf-8") as lines:
                for number, line in enumerate(lines):
                    event = json.loads(line)
                    producer.produce(TOPIC[event["type"]], key=str(event["impression_id"]),
                                     value=line.strip())
                    if number % 10_000 == 0:
                        producer.poll(0.01)
            producer.flush()
            yield brokers
        finally:
            subprocess.run([KAFKA, "stop", folder], check=False)


def compare(name, our_source, peer_source, rounds, folder):
    with_commits, without, theirs, stages = [], [], [], {}
    for number in range(rounds):
        report = ours(our_source, f"{folder}/{name}-{number}")
        with_commits.append(rate_of(report))
        without.append(rate_of(ours(our_source, f"{folder}/{name}-{number}-off", "off")))
        theirs.append(peer(peer_source))
        for stage, seconds in report["stages"].items():
            stages.setdefault(stage, []).append(seconds)
    ratios = [a / b for a, b in zip(with_commits, theirs)]
    kept = [a / b for a, b in zip(with_commits, without)]
    median = statistics.median
    print(f"whole path from {name}, two cores: {median(with_commits):,.0f} events/s; Python and "
          f"PyTorch, best of 1 and 2 threads: {median(theirs):,.0f} events/s; "
          f"ratio {median(ratios):.2f} (least {min(ratios):.2f})")
    print(f"  with commits every 500 ms against none: {100 * median(kept):.0f} %")
    print("  seconds of " + f"{report['seconds']:.2f}: " +
          ", ".join(f"{stage} {median(all_of):.2f}" for stage, all_of in stages.items()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--impressions", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-kafka", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        events = f"{folder}/events.jsonl"
        with open(events, "w", encoding="utf-8") as file:
            subprocess.run([sys.executable, str(TOP / "tests/peers/gen_events.py"),
                            str(options.impressions), "1", "0.01"], check=True, stdout=file)
        compare("a file", ["--events", events], ["--events", events], options.rounds, folder)
        if options.no_kafka:
            return
        with kafka_with(events) as brokers:
            compare("Kafka", ["--set", f"kafka.brokers={brokers}"], ["--brokers", brokers],
                    options.rounds, folder)


if __name__ == "__main__":
    main()
