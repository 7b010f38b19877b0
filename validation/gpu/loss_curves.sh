#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Loss curves of bfloat16 on a device follow those of float32 on the host: DINO v1, v2 and v3 with Gram. Roundings add up,
# so single steps may drift apart further than means over twenty. DINO_CURVE_STEPS: 200 unless told, for emulated devices.
"$DINO_EXECUTABLE" info | grep -q 'cuda:[0-9]' || { "$DINO_EXECUTABLE" info | grep '^devices'; exit 77; }
. "$(dirname "$0")/../regression/common.sh"
steps=${DINO_CURVE_STEPS:-200}
window=$((steps < 20 ? steps : 20))
# Relative: three times what bfloat16 on the host deviated by (5.5e-3 and 1.3e-3, DINOv3).
step_bound=1.7e-2 window_bound=4e-3
common="run.steps=$steps run.log_every=50 ${DINO_CURVE_KEYS:-}"

within() { awk "BEGIN { exit !($1 <= $2) }" || fail "$3: $1 is more than $2"; }

# curves NAME key=value...
curves() {
  local name=$1 step mean
  shift
  expect 0 run 1 $train run.dir="$name/host" run.device=host $common "$@"
  expect 0 run 1 $train run.dir="$name/device" run.device=cuda run.precision=bf16 $common "$@"
  step=$("$tool" compare_losses "$name"/{host,device}/metrics.h5) || fail "$name: not comparable"
  mean=$("$tool" compare_losses "$name"/{host,device}/metrics.h5 $window) || fail "$name: not comparable"
  echo "$name, $steps steps: worst relative difference of a loss $step, of a mean over $window $mean"
  within "$step" $step_bound "$name, a step"
  within "$mean" $window_bound "$name, a mean over $window steps"
}

curves dinov1
curves dinov2 $v2
curves dinov3 $v3 $gram
