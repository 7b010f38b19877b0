#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A ResNet through every command: training with k-NN on the way, features, k-NN, plan, bench, info.
. "$(dirname "$0")/common.sh"

"$tool" shards test_shards 36 2 || fail "cannot make shards"
watch="eval.knn_every=5 eval.train_shards=$PWD/shards eval.test_shards=$PWD/test_shards"
expect 0 run 2 $resnet_train run.steps=10 $watch eval.knn_k=[5]
says "step 10: 5-NN of the teacher"
accuracy=$(sed -n 's/.*step 10: 5-NN of the teacher \([0-9.]*\) % top-1.*/\1/p' log)

# Running statistics are in the checkpoint, and evaluation uses them on any number of ranks.
expect 0 alone "$dino" info run/latest.h5
says "checksums: all right"
for ranks in 1 3; do
  expect 0 run $ranks "$dino" features run/latest.h5 --shards shards --batch $((4 * ranks)) -o features_$ranks.h5
done
worst=$("$tool" compare_arrays features_1.h5 features_3.h5) || fail "features are not comparable"
echo "features of one rank and of three differ by $worst"
awk "BEGIN { exit !($worst <= 1e-5) }" || fail "features differ by more than 1e-5"
expect 0 run 2 "$dino" eval knn run/latest.h5 --train shards --test test_shards --k 5
says "$accuracy"

# Another run takes weights and statistics.
expect 75 run 1 $resnet_train run.dir=next run.start_from=run/latest.h5 run.stop_after_steps=1
says "starting from the weights of 'run/latest.h5'"

expect 0 alone "$dino" plan tiny_resnet.toml --ranks 4
says "backbone"
expect 0 alone "$dino" bench step tiny_resnet.toml --steps 1
says '"bench": "step"'
expect 2 run 2 $resnet_train run.dir=refused run.micro_batch=2
says "batch norms take the statistics of the whole batch"
