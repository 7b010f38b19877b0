#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Some steps have batches of a second data set.
. "$(dirname "$0")/common.sh"
mixed

expect 75 run 2 $train run.dir=first $v3 $mixed run.stop_after_steps=4
says "31 images of data.mix in a share 0.4 of the steps"

# It is staged apart from the first one, whose files have the same names.
expect 0 run 2 $train run.dir=staged $v3 $mixed data.staging=near run.steps=4
[ -s near/shard_00000.h5 ] && [ -s near/mixed_in/shard_00000.h5 ] || fail "both data sets are not staged"
cmp -s near/shard_00000.h5 near/mixed_in/shard_00000.h5 && fail "the data sets are the same"

# A checkpoint tells of another mix, and of the same one nothing.
expect 75 run 1 $train run.dir=first $v3 $mixed run.stop_after_steps=5
grep -q "data.mix had" log && fail "a warning without a reason"
expect 75 run 1 $train run.dir=first $v3 $mixed data.mix.share=0.5 run.stop_after_steps=6
says "data.mix had 31 images in a share 0.4 of the steps and has 31 in 0.5 now"
expect 75 run 1 $train run.dir=first $v3 $mixed data.mix.shards= run.stop_after_steps=7
says "data.mix had 31 images in a share 0.5 of the steps and has 0 in 0 now"

"$tool" shards few 5 3
expect 2 run 2 $train run.dir=other $v3 $mixed data.mix.shards=few
says "data set of 5 images in data.mix.shards='few'"
expect 3 run 2 $train run.dir=other $v3 $mixed data.mix.shards=nowhere
says "nowhere"
