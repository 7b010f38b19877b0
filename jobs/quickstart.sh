#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# quickstart.sh [--clean] [key=value ...]: installs what is needed, builds, draws the demo world, trains DINO on it with 2
# ranks for a few minutes and classifies by k nearest neighbours of raw pixels, untrained and trained features.
# Started again it goes on where it stopped; --clean removes the outputs first. key=value: as for dino train.
#   DINO_EXECUTABLE=PATH  use this program instead of building one
#   DINO_QUICKSTART=DIR   where the outputs go (run/quickstart)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${DINO_QUICKSTART:-run/quickstart}
if [ "${1:-}" = --clean ]; then
  rm -rf "$out"
  shift
fi

dino=${DINO_EXECUTABLE:-build/release/dino}
if [ -z "${DINO_EXECUTABLE:-}" ]; then
  echo "== Building"
  bash jobs/dependencies.sh || echo "Going on: perhaps they are there in another form."
  # the kernels for devices take minutes to compile: only where there is one
  if [ ! -e build/release/CMakeCache.txt ] && ! nvidia-smi -L >/dev/null 2>&1; then export DINO_CUDA=OFF; fi
  bash jobs/build.sh release dino
fi
"$dino" --version

echo "== Drawing the demo world"
"$dino" synth -o "$out/world" # keeps what is there already

echo "== Training on 2 ranks"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((($(nproc) + 1) / 2))}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ranks=(mpirun -n 2 --oversubscribe --bind-to none "$dino")
"${ranks[@]}" train inputs/quickstart.toml run.dir="$out/train" data.shards="$out/world/train" "$@"

echo "== Classifying by 20 nearest neighbours"
knn() { # NAME ARGUMENT...: prints the accuracy
  local name=$1
  shift
  "${ranks[@]}" eval knn "$@" --k 20 --train "$out/world/train" --test "$out/world/test" >"$out/knn_$name.txt"
  grep -o 'top-1 *[0-9.]* %' "$out/knn_$name.txt" | sed 's/top-1 *//'
}
raw=$(knn raw_pixels --features raw --resize 32 --crop 32)
untrained=$(knn untrained "$out/train/checkpoint_000000000.h5")
trained=$(knn trained "$out/train/latest.h5")

cat <<END

20-NN top-1 of pictures never seen in training
  raw pixels          $raw
  untrained features  $untrained
  trained features    $trained

Checkpoints  $out/train (latest.h5 is the newest)
Metrics      $out/train/metrics.h5, shown by jobs/plot_metrics.py $out/train
Pictures     $out/world
What a file holds: $dino info FILE
END
