#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every command explains itself, and says the same on any number of ranks.
. "$(dirname "$0")/common.sh"

# help_of WORDS...: of a command and of all below it.
help_of() {
  local sub
  expect 0 alone "$dino" "$@" --help
  [ -s log ] || fail "no help: dino $* --help"
  for sub in $(sed -n '/^Subcommands:/,/^$/s/^  \([a-z][a-z_-]*\) .*/\1/p' log); do
    echo "dino $* $sub"
    help_of "$@" "$sub"
  done
}
help_of >commands || { cat commands; exit 1; }
for command in pack train features "eval knn" info "bench step"; do
  grep -q "$command\$" commands || fail "dino --help does not list: $command"
done
expect 0 alone "$dino" --version

"$tool" shards test_shards 36 2 || fail "cannot make shards"
expect 75 run 2 $train run.stop_after_steps=5
for ranks in 1 3; do
  expect 0 run $ranks "$dino" features run/latest.h5 --shards shards -o features_$ranks.h5
done
worst=$("$tool" compare_arrays features_1.h5 features_3.h5) || fail "features are not comparable"
echo "features of one rank and of three differ by $worst"
awk "BEGIN { exit !($worst <= 1e-5) }" || fail "features differ by more than 1e-5"

for ranks in 1 2; do
  expect 0 run $ranks "$dino" eval knn run/latest.h5 --train shards --test test_shards --k 5,40
  says "96 training and 36 test images, 4 classes"
  grep NN log >knn_$ranks
done
cat knn_1
[ "$(wc -l <knn_1)" -eq 2 ] || fail "not two lines of k-NN"
cmp knn_1 knn_2 || fail "k-NN differs between one rank and two"

# info NAME TEXT: what `dino info` must say of a file.
info() { expect 0 alone "$dino" info $1; says "$2"; }
info "" "devices:"
info shards "96 (" 
info shards/shard_00000.h5 "48 ("
info run/latest.h5 "checksums: all right"
info features_1.h5 "features"
info run/metrics.h5 "steps: 5 rows"
expect 3 alone "$dino" info tiny.toml
says "tiny.toml"

# json COMMAND...: the output is one JSON object with the bench's name.
json() {
  "$@" >figures.json || fail "exit code $?: $*"
  grep -q '"bench": "'"$name"'"' figures.json || fail "no figure of $name"
  command -v python3 >/dev/null || return 0
  python3 -m json.tool figures.json >/dev/null || fail "no JSON: $*"
}
name=step; json "$dino" bench step tiny.toml --steps 1
name=loader; json "$dino" bench loader tiny.toml --seconds 0.2
name=checkpoint; json "$dino" bench checkpoint --dir . --mib 1
