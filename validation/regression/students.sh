#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Several students learn from one frozen teacher at once, on ranks of their own: each as it would
# alone; they stop together, and go on from a step that all of them have.
. "$(dirname "$0")/common.sh"
tolerance=1e-4  # relative; the ranks add up in another order

expect 0 run 2 $train run.dir=teacher $v3 run.steps=15 student.embed_dim=96 student.depth=3 dino.hidden_dim=96 \
  dino.bottleneck_dim=48
common="$v3 student.drop_path_rate=0 distill.teacher=$PWD/teacher/latest.h5"
cat >small.toml <<END
[run]
dir = "small"
[koleo]
loss_weight = 0.2
END
cat >large.toml <<END
[run]
dir = "large"
micro_batch = 3
[student]
embed_dim = 72
depth = 3
[shard]
strategy = "grad_op"
END
{ cat tiny.toml && printf '[distill]\nstudents = ["small.toml", "large.toml"]\nranks = [1, 2]\n'; } >students.toml
students="$dino train students.toml $common"

# compare NAME RUN RUN: their losses, to the tolerance.
compare() {
  local worst
  worst=$("$tool" compare_losses "$2/metrics.h5" "$3/metrics.h5") || fail "$1: not comparable"
  echo "$1: worst relative difference of a loss $worst"
  awk "BEGIN { exit !($worst <= $tolerance) }" || fail "$1: more than $tolerance"
}
# kept NAME: what was trained is set aside under this name.
kept() { mkdir "$1" && mv small large "$1"; }

expect 0 run 3 $students
says "student 'small' on 1 of 3 ranks"
says "student 'large' on 2 of 3 ranks"
kept whole
expect 0 run 3 $students distill.micro_batch=1
kept micro
for name in small large; do
  # What its run directory says is a configuration that one student can be trained with.
  expect 0 run 2 "$dino" train whole/$name/config.toml run.dir=alone_$name
  compare "$name alone" whole/$name alone_$name
  compare "$name, the teacher in micro-batches" whole/$name micro/$name
done

# Shares of three and two images: one micro-batch of the teacher is empty on some ranks.
for micro_batch in 1 3; do
  expect 0 run 3 $students distill.micro_batch=$micro_batch data.batch_size=7 run.steps=2
  kept uneven_$micro_batch
done
for name in small large; do compare "$name, empty micro-batches" uneven_{1,3}/$name; done

# In two parts, bit for bit.
expect 75 run 3 $students run.stop_after_steps=10
expect 0 run 3 $students
kept parts
for name in small large; do
  expect_same_losses {whole,parts}/$name
  worst=$("$tool" compare_arrays {whole,parts}/$name/latest.h5)
  [ "$worst" = 0.000e+00 ] || fail "$name: checkpoints differ by $worst"
done

# The newest checkpoint of one is damaged: all go back to the one before.
expect 75 run 3 $students checkpoint.every=5 run.stop_after_steps=10
"$tool" flip large/checkpoint_000000010.h5 -1
expect 0 run 3 $students checkpoint.every=5
says "'small' goes back from step 10 to 5, the newest of all students"
says "going on from step 5 of 20"
kept damaged
for name in small large; do
  expect_same_losses {whole,damaged}/$name
  [ "$(newest damaged/$name)" -eq 20 ] || fail "$name did not finish"
done

# A STOP file of one stops all.
start 3 $students run.steps=100000 checkpoint.every=100000
wait_for "grep -q 'step 3/' log"
touch large/STOP
expect 75 wait "$launcher"
says "large/STOP exists"
reached=$(newest small)
[ "$reached" -gt 0 ] && [ "$(newest large)" -eq "$reached" ] || fail "the students stopped at different steps"
[ ! -e large/STOP ] || fail "the STOP file would stop the next run"
# One of them killed at any moment ends all, and all go on together.
start 3 $students run.steps=100000 checkpoint.every=3
wait_for "grep -q 'step $((reached + 5))/' log"
kill -KILL "$(pid_of_rank 2)"
wait "$launcher" && fail "mpirun reported success after a rank was killed"
expect 75 run 3 $students run.steps=100000 checkpoint.every=3 run.stop_after_steps=$((reached + 20))
[ "$(newest small)" -eq $((reached + 20)) ] && [ "$(newest large)" -eq $((reached + 20)) ] || fail "not together"

# What cannot go on or begin.
rm -r large
expect 2 run 3 $students run.steps=100000 checkpoint.every=3
says "while another of distill.students is at step $((reached + 20)): they go on together"
expect 2 run 2 $students
says "invalid distill.ranks=[1, 2] (they add up to 3, and the run has 2 ranks)"
expect 2 run 3 $students dino.out_dim=32
says "has dino.out_dim=64, and both compare themselves on the same prototypes"
expect 2 alone "$dino" bench step students.toml $common
says "names 2 students (distill.students), and this command takes one"
