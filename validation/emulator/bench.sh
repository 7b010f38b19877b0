#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `dino bench step` on the emulated device: its figures are there, its memory is the plan's. What does not fit into the
# device is refused before anything is allocated.
. "$(dirname "$0")/../regression/common.sh"
command -v python3 >/dev/null || { echo "no python3 to read JSON"; exit 77; }

# figures RANKS key=value...: of a step on the device, in figures.json.
figures() {
  local ranks=$1
  shift
  "${mpirun[@]}" "$ranks" "$dino" bench step tiny.toml --steps 1 --peak 64 run.device=cuda data.batch_size=4 "$@" \
    >figures.json 2>log || fail "exit code $?: $*"
}
# holds CONDITION: in Python, of the figures f.
holds() { python3 -c "import json; f = json.load(open('figures.json')); assert $1, f" 2>error || fail "not so: $1 $(tail -1 error)"; }

figures 1
for part in data teacher student_forward loss backward communication optimizer other; do says "$part"; done
holds "f['device'] == 'cuda' and f['images_per_second'] > 0 and f['gemm_peak_gflops_per_rank'] >= f['gemm_gflops_per_rank'] > 0"
holds "abs(f['share_of_gemm_peak'] * f['gemm_peak_gflops_per_rank'] - f['gflops_per_rank']) <= 1e-6 * f['gflops_per_rank']"
holds "all(f['seconds'][part] > 0 for part in f['seconds'])"
holds "0.95 <= f['device_memory']['used_by_planned'] <= 1.05"
# Each product is a call of a library, and the rest of every block takes some kernels.
holds "f['launches_per_step']['kernels'] > f['launches_per_step']['library_calls'] > 0"
cp figures.json shallow.json
figures 1 student.depth=3
python3 - <<END || fail "a block more is not a block more"
import json
a, b = (json.load(open(name))["launches_per_step"] for name in ("shallow.json", "figures.json"))
# forward of teacher and student, and two products for each in the backward pass, of the four layers
assert b["library_calls"] - a["library_calls"] == 16, (a, b)
END
figures 2 method=dinov2 $v2
holds "f['device_memory']['ranks_on_device'] == 2"

# What is planned for one rank fits, for two it does not.
plan=$("$dino" plan tiny.toml data.batch_size=4 run.device=cuda --json | sed -n 's/.*"peak": \([0-9]*\).*/\1/p' | tail -1)
[ -n "$plan" ] || fail "no plan"
mib=$((plan / 1048576 + 1))
DINO_EMULATOR_MEMORY_MIB=$mib expect 0 run 1 $train run.dir=fits run.device=cuda run.steps=1 data.batch_size=4
DINO_EMULATOR_MEMORY_MIB=$((mib - 1)) expect 2 run 1 $train run.dir=alone run.device=cuda run.steps=1 data.batch_size=4
says "the run does not fit into the device"
says "student, float32 masters"
says "activations and scratch"
remedy=$(sed -n 's/.*Enough would be: \(.*\)/\1/p' log)
[ -n "$remedy" ] || fail "no remedy"
DINO_EMULATOR_MEMORY_MIB=$((mib - 1)) expect 0 run 1 $train run.dir=remedy run.device=cuda run.steps=1 data.batch_size=4 $remedy
DINO_EMULATOR_MEMORY_MIB=$mib expect 2 run 2 $train run.dir=two run.device=cuda run.steps=1 data.batch_size=4 shard.strategy=replicate
says "by the 2 ranks on it"
[ ! -e two/latest.h5 ] || fail "something was written"
DINO_EMULATOR_MEMORY_MIB=1 expect 2 run 2 "$dino" bench step tiny.toml run.device=cuda
says "the run does not fit into the device"
DINO_EMULATOR_MEMORY_MIB=1 expect 0 run 1 $train run.dir=host run.device=host run.steps=1 data.batch_size=4
