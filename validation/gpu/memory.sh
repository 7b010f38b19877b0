#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A step of ViT-L takes as much of a device's memory as `dino plan` says, within 5 %.
"$DINO_EXECUTABLE" info | grep -q 'cuda:[0-9]' || { "$DINO_EXECUTABLE" info | grep '^devices'; exit 77; }
. "$(dirname "$0")/../regression/common.sh"

expect 0 alone "$dino" bench step "$DINO_SOURCE_DIR/inputs/dinov2_vitl16_short.toml" run.device=cuda data.batch_size=64 \
  run.micro_batch=32 --steps 1 --peak 256
share=$(sed -n 's/.*"used_by_planned": \([0-9.]*\).*/\1/p' log)
echo "used by planned: $share"
grep -A7 '"device_memory"' log
awk "BEGIN { exit !(0.95 <= $share && $share <= 1.05) }" || fail "used by planned: $share"
