#!/usr/bin/env python3
"""The daemon under steady load: events through a real Kafka, and scoring at a fixed rate beside it.

soak.py [--seconds 600] [--rate 5000] [--requests 200] [--candidates 100]

Prints a line every 15 s (lag, memory, AUC, the slowest requests), at the end the percentiles of scoring and
whether lag stayed bounded, memory flat and every request answered. Exit 1 if not.
Needs the Python environment of `make bench` (build/bench-venv/bin/python).
"""
import argparse
import http.client
import json
import random
import sys
import threading
import time

from daemon import GENRES, Traffic, daemon_on_kafka, metrics_of


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=5000, help="events per second")
    parser.add_argument("--requests", type=float, default=200, help="score requests per second")
    parser.add_argument("--candidates", type=int, default=100)
    return parser.parse_args()


class Requests(threading.Thread):
    """Score requests at a rate over one connection, started on time or as soon as the last ended."""

    def __init__(self, port, rate, candidates, done):
        super().__init__(daemon=True)
        self.port, self.rate, self.candidates, self.done = port, rate, candidates, done
        self.seconds, self.failed = [], 0

    def body(self, dice):
        items = [dice.randrange(5_000) for _ in range(self.candidates)]
        return json.dumps({
            "context": {"user_id": f"u{dice.randrange(50_000)}", "country": "DE"},
            "candidates": [{"id": f"m{i}", "item_id": f"m{i}", "genres": [GENRES[i % 4]], "price": 3}
                           for i in items]})

    def run(self):
        dice = random.Random(2)
        bodies = [self.body(dice) for _ in range(200)]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        start, count = time.perf_counter(), 0
        while not self.done.is_set():
            wait = start + count / self.rate - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            began = time.perf_counter()
            try:
                connection.request("POST", "/v1/score", bodies[count % len(bodies)],
                                   {"Content-Type": "application/json"})
                answer = connection.getresponse()
                complete = len(json.loads(answer.read())["results"]) == self.candidates
                self.failed += answer.status != 200 or not complete
            except (OSError, http.client.HTTPException, KeyError, ValueError):
                self.failed += 1
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            self.seconds.append(time.perf_counter() - began)
            count += 1


def main():
    options = arguments()
    sets = ["join.allowed_lateness=2s", "join.max_skew=2s"]
    sets += [f"events.{name}.window={window}" for name, window in
             [("click", "20s"), ("conversion", "60s"), ("dwell", "40s"), ("like", "40s")]]
    done, lags, memory = threading.Event(), [], []
    with daemon_on_kafka(sets) as (brokers, port, _):
        traffic = Traffic(brokers, options.rate, done)
        requests = Requests(port, options.requests, options.candidates, done)
        traffic.start()
        requests.start()
        start = time.time()
        while time.time() - start < options.seconds:
            time.sleep(min(15.0, options.seconds))
            metrics = metrics_of(port)
            lag = sum(v for k, v in metrics.items() if k.startswith("millrace_partition_lag"))
            resident = metrics["process_resident_memory_bytes"] / 2**20
            lags.append(lag)
            memory.append(resident)
            recent = sorted(requests.seconds[-3000:])
            auc = metrics.get('millrace_task_auc{model="shop",task="ctr",output="own",window="recent"}')
            print(f"{time.time() - start:5.0f} s: sent {traffic.sent}, lag {lag:.0f}, "
                  f"memory {resident:.0f} MiB, ctr AUC {auc}, "
                  f"p99 {recent[int(len(recent) * 0.99)] * 1e3:.1f} ms, failed {requests.failed}",
                  flush=True)
        done.set()
        requests.join()
    seconds = sorted(requests.seconds)
    quarter = len(memory) // 4
    grown = memory[-1] / memory[quarter] if quarter else 1.0
    print(f"{len(seconds)} requests of {options.candidates} candidates: "
          f"median {seconds[len(seconds) // 2] * 1e3:.2f} ms, "
          f"p99 {seconds[int(len(seconds) * 0.99)] * 1e3:.2f} ms, failed {requests.failed}; "
          f"largest lag {max(lags):.0f} records; memory of the last three quarters × {grown:.2f}")
    return 0 if requests.failed == 0 and max(lags) < 5 * options.rate and grown < 1.25 else 1


if __name__ == "__main__":
    sys.exit(main())
