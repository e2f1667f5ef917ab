#!/usr/bin/env bash
# MovieLens-100K through a real Kafka into `millrace replay`: prints progressive metrics of each task
# over the whole stream and its last fifth, beside a logistic regression on the same stream.
# The data comes out of the recbole wheel on PyPI at run time; its terms forbid shipping it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
millrace=$top/build/release/millrace
work=$(mktemp -d)
stop() {
  "$top/tests/support/kafka/kafka.sh" stop "$work/kafka" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap stop EXIT

echo "MovieLens-100K: fetching the data"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$work" recbole==1.2.1
python3 - "$work" <<'PY'
import glob, sys, zipfile
work = sys.argv[1]
with zipfile.ZipFile(glob.glob(work + "/recbole-*.whl")[0]) as wheel:
    for part in ("inter", "user", "item"):
        name = "recbole/dataset_example/ml-100k/ml-100k." + part
        with open(f"{work}/ml-100k.{part}", "wb") as out:
            out.write(wheel.read(name))
PY
python3 "$here/events.py" "$work" "$work"

echo "starting Kafka"
brokers=$("$top/tests/support/kafka/kafka.sh" start "$work/kafka" | tail -n 1)
for name in impression rating like love dislike; do
  "$top/tests/support/kafka/kafka.sh" topic "$work/kafka" "movielens.$name" 3 >/dev/null
  kcat -q -P -b "$brokers" -t "movielens.$name" -K '\t' -z lz4 -X partitioner=murmur2_random \
    -l "$work/$name.jsonl"
done

echo "learning"
"$millrace" replay --config "$here/millrace.yaml" --flush --set "kafka.brokers=$brokers" \
  --set "store.path=$work/state" --report "$work/report.json" >/dev/null
echo "logistic regression on the same stream"
python3 "$here/logistic_regression.py" "$work" >"$work/logistic.json"
python3 "$here/table.py" "$work/report.json" "$work/logistic.json"
