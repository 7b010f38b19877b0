#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The commands under "Build and first run" in README.md do what they say, as they stand there. The build is the one under
# test, and training is cut short.
set -euo pipefail
export OMPI_MCA_hwloc_base_binding_policy=none
rm -rf work && mkdir -p work/build/release && cd work
ln -s "$DINO_EXECUTABLE" build/release/dino
ln -s "$DINO_SOURCE_DIR/inputs" "$DINO_SOURCE_DIR/jobs" .

mapfile -t commands < <(awk '/^## Build and first run/ {here = 1} here && /^```$/ {exit} inside {print} here && /^```sh/ {inside = 1}' \
  "$DINO_SOURCE_DIR/README.md")
[ ${#commands[@]} = 5 ] || { echo "README.md has ${#commands[@]} commands for a first run, not five"; exit 1; }
for command in "${commands[@]}"; do
  case $command in
    "bash jobs/dependencies.sh" | "bash jobs/build.sh release") continue ;;
    *"dino train"*) command+=" run.steps=3 run.precision=fp32 student.embed_dim=32 student.depth=1 dino.out_dim=64" ;;
  esac
  echo "+ $command"
  bash -euc "$command"
done | tee log
grep -q '20-NN  top-1' log
