#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What users and disks get wrong is refused with the right exit code and a message that names it.
. "$(dirname "$0")/common.sh"

# On one rank without mpirun, and the same on two.
expect 2 alone $train optim.lrr=1
says "unknown key optim.lrr"
says "Did you mean optim.lr?"
expect 2 run 2 $train optim.lrr=1
says "Did you mean optim.lr?"
expect 2 alone $train optim.lr=fast
says "optim.lr"
expect 2 alone "$dino" train nowhere.toml
says "nowhere.toml"
expect 2 alone "$dino" trian tiny.toml
says "there is no command 'trian'"
expect 2 alone "$dino" eval knm
says "there is no command 'knm'"
expect 2 alone "$dino" pack pictures -o shards --strikt
says "--strikt"
expect 2 run 3 $train shard.strategy=hybrid shard.group_size=2
says "shard.group_size"
expect 2 alone $train data.batch_size=97
says "Try data.batch_size=96"

expect 3 alone $train data.shards=nowhere
says "nowhere"
expect 3 run 2 $train data.shards=nowhere
says "nowhere"
mkdir empty && expect 3 alone $train data.shards=empty
says "empty"
cp -r shards short && truncate -s -1000 short/shard_00001.h5
expect 3 alone $train data.shards=short
says "short/shard_00001.h5"
expect 3 run 2 $train data.shards=short
says "short/shard_00001.h5"
cp -r shards other && cp tiny.toml other/shard_00001.h5
expect 3 alone $train data.shards=other
says "other/shard_00001.h5"

expect 75 run 2 $train run.dir=first run.stop_after_steps=2
cp first/latest.h5 before.h5
expect 2 run 2 $train run.dir=first data.batch_size=24
says "data.batch_size=12"
expect 2 alone $train run.dir=first student.embed_dim=96
says "belongs to another model"
cmp before.h5 first/latest.h5 || fail "a refused run changed the checkpoint"

# A damaged picture is left out with a warning and replaced by the same one on any number of ranks.
cp -r shards spotted && "$tool" flip spotted/shard_00000.h5 -20000
expect 0 run 2 $train run.dir=spotted_run data.shards=spotted
says "is left out and replaced by the next one"
expect 0 alone $train run.dir=spotted_alone data.shards=spotted
worst=$("$tool" compare_losses spotted_run/metrics.h5 spotted_alone/metrics.h5) || fail "not comparable"
echo "a damaged picture on one rank and on two: losses differ by $worst, relative"
awk "BEGIN { exit !($worst <= 1e-4) }" || fail "the ranks left out different pictures"

start 2 $train run.dir=locked run.steps=100000 run.log_every=1000
wait_for "[ -e locked/latest.h5 ]"
mv log log_of_first
expect 2 run 2 $train run.dir=locked
says "another job is running in run.dir 'locked'"
kill -USR1 "$launcher"
expect 75 wait "$launcher"
