#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# dino pack: the same shards from any number of ranks; nothing under the final name unless complete,
# however it ends; damage found by --verify.
. "$(dirname "$0")/common.sh"

"$tool" pictures pictures 120 1 500 || fail "cannot make pictures"
pack="$dino pack pictures --shard-mib 4"
expect 0 alone $pack -o one
expect 0 run 3 $pack -o three
[ "$(ls one | wc -l)" -ge 3 ] || fail "fewer than three shards: $(ls one)"
diff -r one three || fail "the shards of one rank and of three differ"
expect 0 run 2 "$dino" pack --verify three
says "120 images, 0 faults"
expect 2 alone $pack -o one
says "is not an empty folder"

cp -r one flipped && "$tool" flip flipped/shard_00001.h5 -50000
expect 3 run 2 "$dino" pack --verify flipped
says "flipped/shard_00001.h5"
says "120 images, 1 faults"

# An unreadable picture is skipped and listed, or refused.
cp -r pictures spotted && head -c 7000 pictures/class0/0000.jpg >spotted/class0/0000.jpg
expect 0 run 2 "$dino" pack spotted -o skipped
says "1 skipped"
grep -qF class0/0000.jpg skipped/skipped.txt || fail "the skipped picture is not listed"
expect 3 run 2 "$dino" pack spotted -o strict --strict
says "class0/0000.jpg"
[ ! -e strict ] && [ ! -e .strict.packing ] || fail "--strict left something behind"

# interrupt SIGNAL NAME: while rank 1 packs.
interrupt() {
  start 2 $pack -o "$2"
  wait_for '[ -n "$(pid_of_rank 1 2>/dev/null)" ]'
  victim=$(pid_of_rank 1)
  wait_for "compgen -G '.$2.packing/part_*' >/dev/null"
  kill "-$1" "$victim"
}
interrupt KILL killed
wait "$launcher" && fail "mpirun reported success"
[ ! -e killed ] || fail "a killed pack left shards under the final name"
[ -e .killed.packing ] || fail "the signal came too late to test anything"
expect 0 run 2 $pack -o killed
diff -r one killed && [ ! -e .killed.packing ] || fail "the pack after the killed one is not clean"
interrupt TERM stopped
expect 75 wait "$launcher"
says "interrupted by signal 15"
[ ! -e stopped ] && [ ! -e .stopped.packing ] || fail "a stopped pack left something behind"
