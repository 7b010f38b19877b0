#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `dino plan`: parameters of the published backbones, memory, traffic and time on a machine.
. "$(dirname "$0")/common.sh"
inputs=$DINO_SOURCE_DIR/inputs
machines=$DINO_SOURCE_DIR/jobs/machines

# 7B on 256 GPUs.
vit7b="$dino plan $inputs/dinov3_vit7b16_pretrain.toml --ranks 256"
expect 0 alone $vit7b --machine $machines/h100_dgx.toml
cat log
for line in "backbone  *6716043264" "AdamW moments  *[0-9.]* [KMG]iB" "matrix products  *[0-9.]* TFLOP" \
  "parameters, received in all-gathers  *[0-9.]* GiB" "features for KoLeo  *[0-9.]* MiB" \
  "a step  *[0-9.]* s" "a step without overlap  *[0-9.]* s" "steps of the run  *1000000" \
  "node-hours  *[0-9.]*" "rank-hours  *[0-9.]*"; do
  grep -qE "^ *$line" log || fail "the plan of 7B has no line: $line"
done
expect 0 alone $vit7b
says "give --machine"

# What does not fit is said, with a remedy that does.
expect 0 alone $vit7b run.micro_batch=16 --machine $machines/h100_dgx.toml
says "do not fit into the 78.0 GiB of a rank of DGX H100"
remedy=$(sed -n 's/.*Enough would be: \(.*\)/\1/p' log)
[ -n "$remedy" ] || fail "no remedy"
expect 0 alone $vit7b $remedy --machine $machines/h100_dgx.toml
if grep -q "do not fit" log; then fail "the remedy does not fit: $remedy"; fi

# Every recipe has a plan.
for recipe in "$inputs"/*.toml; do
  case $recipe in # a teacher's configuration stands in for its checkpoint
    */dinov3_distill.toml) teacher=distill.teacher=$inputs/dinov3_vit7b16_pretrain.toml ;;
    */dinov3_small_distill.toml) teacher=distill.teacher=$inputs/dinov3_small_pretrain.toml ;;
    *) teacher= ;;
  esac
  expect 0 alone "$dino" plan "$recipe" $teacher --ranks 4 --machine "$machines/cpu_2core.toml" --images 100000
  grep -q "node-hours" log || fail "no node-hours: $recipe"
done

# backbone FILE COUNT: parameters as JSON tells them. Source: method.md 1.1.
backbone() {
  "$dino" plan "$inputs/$1.toml" --json >plan.json || fail "no plan of $1"
  grep -q "\"backbone\": $2\(,\|$\)" plan.json || fail "$1 has not $2 parameters: $(grep backbone plan.json)"
}
backbone dinov1_vits16 21665664
backbone dinov1_vits8 21670272
backbone dinov1_vitb16 85798656
backbone dinov1_vitb8 85807872
backbone dinov2_vitl14 303655168
backbone dinov3_vit7b16_pretrain 6716043264
backbone dinov3_vit7b16_gram_anchor 6716043264
if command -v python3 >/dev/null; then
  $vit7b --json --machine $machines/h100_dgx.toml 2>/dev/null |
    python3 -c 'import json, sys; p = json.load(sys.stdin); assert p["machine"]["node_hours"] > 0 and not p["machine"]["fits"]' ||
    fail "no such JSON"
fi

# Refusals.
expect 2 alone "$dino" plan tiny.toml --machine nowhere.toml
says "nowhere.toml"
sed 's/^memory_gib/memory_gb/' "$machines/h100_dgx.toml" >wrong.toml
expect 2 alone "$dino" plan tiny.toml --machine wrong.toml
says "Did you mean memory_gib?"
grep -v '^overlap' "$machines/h100_dgx.toml" >wrong.toml
expect 2 run 2 "$dino" plan tiny.toml --machine wrong.toml
says "lacks overlap"
expect 2 alone "$dino" plan tiny.toml --ranks 3 shard.strategy=hybrid shard.group_size=2
says "does not divide the 3 ranks"
