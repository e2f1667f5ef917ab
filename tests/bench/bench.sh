#!/usr/bin/env bash
# `make bench`: the performance figures, each as a ratio against a peer in the same run.
# Makes the peers' Python environment under build/ on the first call (PyTorch: some 6 GB).
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$top/build/release
venv=$top/build/bench-venv
if [[ ! -x $venv/bin/python || ! -e $venv/complete ]]; then
  echo "making the peers' environment (PyTorch and others)"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check torch numpy orjson pyyaml confluent-kafka
  touch "$venv/complete"
fi
cmake --build --preset release --target millrace learner_bench trainer_bench score_bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# One core for each timed program: neighbours on the other core are then alike for both.
for round in 1 2 3; do
  "$build/tests/bench/learner_bench" --json >"$work/learner-$round.json"
  (cd "$top/tests/peers" && "$venv/bin/python" torch_mtl.py --only small --seconds 2 --json) >"$work/torch-small-$round.json"
  (cd "$top/tests/peers" && "$venv/bin/python" torch_mtl.py --only large --seconds 2 --json) >"$work/torch-large-$round.json"
done
"$build/tests/bench/trainer_bench" --json >"$work/trainer.json"
"$build/tests/bench/score_bench" --json >"$work/score.json"
"$venv/bin/python" "$top/tests/bench/table.py" "$work"
"$venv/bin/python" "$top/tests/bench/whole_path.py"
