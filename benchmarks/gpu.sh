#!/usr/bin/env bash
# On a machine with a GPU and no network: installs the wheels of .whl/ beside what is there, and runs the checks.
set -euo pipefail; cd "$(dirname "$0")/.."; site=$(mktemp -d); start=$SECONDS
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" .whl/*.whl; echo "wheels installed in $((SECONDS - start)) s"
PYTHONPATH="$site:$PWD" PYTHONUNBUFFERED=1 python3 benchmarks/bench_gpu.py --out "${OUT:-gpu-results}" "$@"
