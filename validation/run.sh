#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [--asan] [CTEST_ARGUMENT...]: builds everything and runs the regression suite. Examples:
#   validation/run.sh -L mpi                 one label (unit, golden, mpi, regression, slurm, ...)
#   validation/run.sh -R knn -V              tests by name, with their output
#   validation/run.sh --asan                 the unit tests under AddressSanitizer and UBSan
set -euo pipefail
cd "$(dirname "$0")/.."
preset=release
jobs=$((2 * $(nproc))) # a test of n ranks counts n, and ranks wait half of their time
if [ "${1:-}" = --asan ]; then
  shift
  preset=asan
  jobs=$(nproc)
  set -- -L unit "$@"
fi
bash jobs/dependencies.sh tests || echo "Going on without: tests that need them are skipped, CMake names what the build lacks."
bash jobs/build.sh $preset
ctest --test-dir build/$preset --output-on-failure -j $jobs "$@"
