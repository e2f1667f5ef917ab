"""What the measuring scripts share: a real Kafka, the daemon on the contract's configuration, and
simulated traffic. Needs the Python environment of `make bench` (confluent-kafka)."""
import contextlib
import http.client
import json
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from confluent_kafka import Producer

TOP = Path(__file__).resolve().parents[2]
KAFKA = str(TOP / "tests/support/kafka/kafka.sh")
TOPICS = ["impressions", "clicks", "conversions", "dwell", "likes"]
GENRES = ["drama", "crime", "comedy", "war"]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def daemon_on_kafka(sets):
    """Starts both, with three partitions a topic; gives (brokers, port, process); stops both."""
    with tempfile.TemporaryDirectory() as folder:
        brokers = subprocess.run([KAFKA, "start", folder + "/kafka"], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout.split()[-1]
        process = None
        try:
            for topic in TOPICS:
                subprocess.run([KAFKA, "topic", folder + "/kafka", topic, "3"], check=True,
                               stdout=subprocess.DEVNULL)
            port = free_port()
            command = [str(TOP / "build/release/millrace"), "run", "--config",
                       str(TOP / "tests/data/contract/millrace.yaml")]
            for one in sets + [f"kafka.brokers={brokers}", f"store.path={folder}/state",
                               f"serve.listen=127.0.0.1:{port}"]:
                command += ["--set", one]
            process = subprocess.Popen(command)
            wait_until_ready(process, port)
            yield brokers, port, process
        finally:
            if process:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
            subprocess.run([KAFKA, "stop", folder + "/kafka"], check=False)


def wait_until_ready(process, port):
    for _ in range(200):
        if process.poll() is not None:
            raise SystemExit("the daemon ended")
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise SystemExit("the daemon does not become ready")


def send(producer, key, user, item, clicked):
    """An impression now, and its click and dwell where there is one."""
    now = int(time.time() * 1000)
    features = {"user_id": user, "country": "DE", "item_id": item,
                "genres": [GENRES[hash(item) % 4]], "price": 3}
    impression = {"impression_id": key, "time": now, "user": user, "features": features}
    producer.produce("impressions", key=key, value=json.dumps(impression))
    if clicked:
        click = {"impression_id": key, "time": now}
        producer.produce("clicks", key=key, value=json.dumps(click))
        producer.produce("dwell", key=key, value=json.dumps({**click, "value": 12.5}))


class Traffic(threading.Thread):
    """Events at a rate: impressions, a tenth of them with a click and a dwell time."""

    def __init__(self, brokers, rate, done):
        super().__init__(daemon=True)
        self.producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5,
                                  "compression.codec": "lz4"})
        self.rate, self.done, self.sent = rate, done, 0

    def run(self):
        start, impressions, dice = time.time(), 0, random.Random(1)
        while not self.done.is_set():
            while impressions < (time.time() - start) * self.rate / 1.2:
                clicked = dice.random() < 0.1
                send(self.producer, f"b{impressions}", f"u{dice.randrange(50_000)}",
                     f"m{dice.randrange(5_000)}", clicked)
                impressions += 1
                self.sent += 3 if clicked else 1
            self.producer.poll(0)
            time.sleep(0.002)
        self.producer.flush()


def metrics_of(port):
    """The values of /metrics by series."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in lines if line and not line.startswith("#")}
