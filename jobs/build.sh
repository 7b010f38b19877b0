#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh PRESET [TARGET...]: configures build/PRESET and builds the targets (all without any) on every core.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
# takes effect in a new build folder only: an old one keeps its generator
command -v ninja >/dev/null && export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
cmake --preset "$preset"
cmake --build "build/$preset" --parallel "$(nproc)" ${1:+--target "$@"}
