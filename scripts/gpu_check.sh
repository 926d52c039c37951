#!/usr/bin/env bash
# Measure and check this checkout on a GPU, in less than ten minutes: bash scripts/gpu_check.sh
# It prints a table, and writes gpu_check.json into $OUT if that is set. It needs no network and no
# data. GPU_CHECK_SCALE=tiny tries the script itself, in minutes, on a machine without a GPU.
set -u
cd "$(dirname "$0")/.."
export PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"
exec timeout --signal=INT --kill-after=10 "${GPU_CHECK_SECONDS:-590}" "${PYTHON:-python3}" scripts/gpu_check.py "$@"
