#!/bin/sh
# Runs the benchmarks and leaves one JSON file each in bench/results:
#   bench/run.sh <build folder> [options of the benchmarks]
# RESULTS_DIR names another folder. With options that only one benchmark knows, call it directly.
set -eu

if [ $# -lt 1 ]; then
  echo "usage: $0 <build folder> [options]" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
build=$1
shift

if [ -z "${FLASH_KMEANS_COMMIT:-}" ]; then
  FLASH_KMEANS_COMMIT=$(git -C "$here" describe --always --dirty --abbrev=12 2>/dev/null ||
    echo unknown)
fi
export FLASH_KMEANS_COMMIT

results=${RESULTS_DIR:-$here/results}
mkdir -p "$results"
gpu=$(nvidia-smi --id=0 --query-gpu=name --format=csv,noheader 2>/dev/null || echo no-gpu)
gpu=$(printf '%s' "$gpu" | tr -cs 'A-Za-z0-9' '-' | tr 'A-Z' 'a-z')
stamp=$(date -u +%Y-%m-%d)

# From inside the build folder, so that no path of this machine enters the JSON.
results=$(cd "$results" && pwd)
cd "$build"
failed=0
for verb in assign fit init query update; do
  "./bench/bench_$verb" "--benchmark_out=$results/$stamp-$gpu-$verb.json" \
    --benchmark_out_format=json "$@" || failed=1
done
exit $failed
