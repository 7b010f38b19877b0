#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gpu.sh [--bundle FILE] [--sanitize] [--out FILE] [--seconds N]: on a machine with a GPU, the gpu tests and all benchmarks,
# within N seconds (600) once it is built, and their figures in one text file.
#   --bundle FILE   what validation/bundle.sh packed elsewhere, in place of a build of this tree
#   --sanitize      the tests of kernels under compute-sanitizer too
#   --out FILE      ./gpu_results.txt unless told
# Exit codes: 0 all tests passed; 1 some failed or did not end in time; 77 there is no GPU (the tests are skipped, visibly).
set -uo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
bundle='' sanitize=no out=gpu_results.txt seconds=600
while [ $# -gt 0 ]; do
  case $1 in
    --bundle) bundle=$(realpath "$2") && shift ;;
    --sanitize) sanitize=yes ;;
    --out) out=$2 && shift ;;
    --seconds) seconds=$2 && shift ;;
    *) sed -n '3,7s/^# //p' "$0" >&2 && exit 2 ;;
  esac
  shift
done
out=$(realpath -m "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

if [ -n "$bundle" ]; then
  tar -C "$work" -xJf "$bundle" || exit 2
  root=$work/dino_gpu_bundle build=$work/dino_gpu_bundle/build source=$work/dino_gpu_bundle/source
  sed "s|@BUNDLE@|$root|g" "$build/CTestTestfile.cmake.in" >"$build/CTestTestfile.cmake"
  within=("$root/run.sh") commit="$(cat "$root/commit") (bundle)"
else
  bash "$here/jobs/build.sh" release || exit 2
  build=$here/build/release source=$here within=(env)
  commit=$(git -C "$here" describe --always --dirty 2>/dev/null || echo unknown)
fi
begin=$SECONDS

dino=$build/dino
# CUDA's libraries may lie where the loader does not look: beside the toolkit, or in Python packages.
find_library() {
  ldconfig -p 2>/dev/null | grep "$1" >/dev/null && return
  local folder
  for folder in /usr/local/cuda*/lib64 /usr/local/cuda*/targets/*/lib \
    $(python3 -c 'import sys; print(*(p + "/nvidia/*/lib" for p in sys.path if p))' 2>/dev/null); do
    [ ! -e "$folder/$1" ] || { echo "$folder" && return; }
  done
}
for library in $(grep -aoE 'lib(cublasLt|cudnn|nccl)\.so\.[0-9]+' "$dino" | sort -u); do  # of the CUDA of the build
  folder=$(find_library $library)
  [ -z "$folder" ] || export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder"
done
export DINO_EXECUTABLE=$dino
timeout -k 5 120 "${within[@]}" "$dino" info >"$work/info" 2>&1 || { cat "$work/info" && exit 2; }

left() { echo $((seconds - (SECONDS - begin))); }
failed=0
say() { printf '%s\n' "$@" | tee -a "$out"; }
# section TITLE SECONDS COMMAND...: its output, at most so long and as long as time is left.
section() {
  local title=$1 most=$2 code=0 time
  shift 2
  say "" "## $title"
  [ "$(left)" -gt 5 ] || { say "left out: no time left" && failed=1 && return; }
  [ "$most" -lt "$(left)" ] || most=$(left)
  say "\$ ${*//$build\//}"
  time=$SECONDS
  timeout -k 5 "$most" "${within[@]}" "$@" >"$work/output" 2>&1 || code=$?
  cat "$work/output" >>"$out"
  say "exit code $code after $((SECONDS - time)) s"
  [ $code -eq 0 ] || failed=1
}

: >"$out"
say "# DINO-HPC on a GPU" "date    $(date -u +%FT%TZ)" "commit  $commit"
say "driver  $(nvidia-smi --query-gpu=driver_version,name,memory.total --format=csv,noheader 2>/dev/null || echo none)"
cat "$work/info" >>"$out"
grep '^ *cuda:\|^devices' "$work/info"

ctest=(ctest --test-dir "$build" -L gpu --output-on-failure --no-tests=error)
section "Tests" 400 "${ctest[@]}"
if ! grep -q 'cuda:[0-9]' "$work/info"; then
  say "" "no GPU: no benchmarks"
  [ $failed -eq 0 ] && exit 77
  exit 1
fi
section "Matrix products" 30 "$dino" bench gemm --seconds 0.3 --device cuda
section "ViT-S/16, DINO v1, bf16" 60 "$dino" bench step "$source/inputs/dinov1_vits16.toml" run.device=cuda \
  run.precision=bf16 data.batch_size=128 --steps 5
section "ViT-L/16, DINOv2, bf16" 90 "$dino" bench step "$source/inputs/dinov2_vitl16_short.toml" run.device=cuda \
  run.precision=bf16 data.batch_size=64 run.micro_batch=32 --steps 3
section "ViT-L/16, DINOv3, bf16" 90 "$dino" bench step "$source/inputs/dinov3_vitl16_im1k.toml" run.device=cuda \
  run.precision=bf16 data.batch_size=64 run.micro_batch=32 --steps 3
section "Demo world" 60 "$dino" synth -o "$work/world"
section "Loader" 30 "$dino" bench loader "$source/inputs/dinov1_vits16.toml" "data.shards=$work/world/train" --seconds 5
section "Checkpoint" 30 "$dino" bench checkpoint --dir "$work" --mib 512
if [ $sanitize = yes ]; then
  export DINO_TEST_DEVICE=cuda
  section "Tests of kernels under compute-sanitizer" "$seconds" bash -c \
    'ls "$0"/tests/bin/test_kernels_* | xargs -P 4 -I PROGRAM compute-sanitizer --error-exitcode 9 PROGRAM --gtest_brief=1' "$build"
fi
say "" "$((SECONDS - begin)) s in all"
echo "results: $out"
exit $failed
