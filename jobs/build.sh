#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh PRESET [TARGET...]: configures build/PRESET and builds the targets (all without any) on every core.
#   DINO_CUDA=ON|OFF  with or without CUDA (otherwise with it where the toolkit is found)
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
# takes effect in a new build folder only: an old one keeps its generator
command -v ninja >/dev/null && export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
cmake --preset "$preset" ${DINO_CUDA:+-DDINO_CUDA="$DINO_CUDA"}
cmake --build "build/$preset" --parallel "$(nproc)" ${1:+--target "$@"}
