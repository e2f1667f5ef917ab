#!/usr/bin/env python3
"""How fresh scores are: from a click in a real Kafka to a changed score over HTTP.

freshness.py [--rate EVENTS_PER_SECOND] [--policy fnw|wait] [--publish-every 500ms] [--probes N]

Beside a background of simulated traffic, each probe produces an impression of a user and an item that
nobody has seen, and its click; then it asks for that item's score for that user every 10 ms. The score
has changed when both ids have rows (unknown_ids is 0) and its value differs. Under `fnw` the clock
starts when the click is produced, under `wait` when its window (1 s) has closed.
Needs the Python environment of `make bench` (build/bench-venv/bin/python).
"""
import argparse
import http.client
import json
import random
import threading
import time

from confluent_kafka import Producer

from daemon import Traffic, daemon_on_kafka, send


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=2000, help="events per second beside the probes")
    parser.add_argument("--policy", choices=["fnw", "wait"], default="fnw")
    parser.add_argument("--publish-every", default="500ms")
    parser.add_argument("--probes", type=int, default=60)
    return parser.parse_args()


def score(connection, user, item):
    candidate = {"id": item, "item_id": item, "genres": ["drama"], "price": 3}
    body = json.dumps({"context": {"user_id": user, "country": "DE"}, "candidates": [candidate]})
    connection.request("POST", "/v1/score", body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    return answer["unknown_ids"], answer["results"][0]["tasks"]["ctr"]


def probe(connection, producer, number, policy):
    """Seconds until the click's score has changed."""
    user, item = f"probe-user-{number}", f"probe-item-{number}"
    _, before = score(connection, user, item)
    send(producer, f"p{number}", user, item, True)
    start = time.time() + (1.0 if policy == "wait" else 0.0)
    producer.flush()
    while time.time() - start < 30:
        unknown, now = score(connection, user, item)
        if unknown == 0 and now != before:
            return time.time() - start
        time.sleep(0.01)
    raise SystemExit("a click was not learned within 30 s")


def main():
    options = arguments()
    sets = [f"serve.publish_every={options.publish_every}", "join.allowed_lateness=200ms",
            "join.max_skew=200ms", "events.click.window=1s", "events.conversion.window=2s",
            "events.dwell.window=2s", "events.like.window=2s",
            f"train.delayed_feedback={{ctr: {options.policy}}}"]
    done = threading.Event()
    with daemon_on_kafka(sets) as (brokers, port, _):
        Traffic(brokers, options.rate, done).start()
        time.sleep(3)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
        seconds = []
        for number in range(options.probes):
            seconds.append(probe(connection, producer, number, options.policy))
            time.sleep(random.random() * 0.3)
        done.set()
    seconds.sort()
    print(f"{options.policy}, {options.rate:g} events/s, publish every {options.publish_every}: "
          f"median {seconds[len(seconds) // 2]:.3f} s, p99 {seconds[int(len(seconds) * 0.99)]:.3f} s, "
          f"worst {seconds[-1]:.3f} s of {len(seconds)}")


if __name__ == "__main__":
    main()
