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
  "$venv/bin/pip" install --quiet --disable-pip-version-check torch numpy orjson pyyaml confluent-kafka onnx onnxruntime
  touch "$venv/complete"
fi
cmake --build --preset release --target millrace learner_bench step_bench trainer_bench score_bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bench=$build/tests/bench
peer() { (cd "$top/tests/peers" && "$venv/bin/python" "$@" --json); }
# Rounds, so that a shape and its peer are measured in the same minutes.
for round in 1 2 3; do
  "$bench/learner_bench" --json >"$work/learner-$round.json"
  for shape in small large ple; do
    peer torch_mtl.py --only $shape --seconds 2 >"$work/torch-$shape-$round.json"
  done
  peer onnx_infer.py --only small >"$work/onnx-$round.json"
done
"$bench/step_bench" --json >"$work/step-1.json"
peer torch_mtl.py --only sparse --seconds 4 >"$work/torch-sparse-1.json"
"$bench/trainer_bench" --json >"$work/trainer.json"
"$bench/score_bench" --json >"$work/score.json"
"$venv/bin/python" "$top/tests/bench/table.py" "$work"
"$venv/bin/python" "$top/tests/bench/whole_path.py"
