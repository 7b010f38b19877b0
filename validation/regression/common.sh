# SPDX-License-Identifier: Apache-2.0
# What the regression scripts share. They are called as SCRIPT TOOL MPIRUN..., where MPIRUN wants a
# number of ranks and a command behind it, and source this file first.
set -u
tool=$1
shift
mpirun=("$@")
dino=$DINO_EXECUTABLE

fail() { echo "FAIL: $*"; [ -s log ] && tail -20 log; exit 1; }

# Ranks that wait leave the cores to those that work: tests share the machine.
export OMPI_MCA_mpi_yield_when_idle=1
export LC_ALL=C
# Everything lies in a folder of its own that begins empty, and stays only after a failure.
rm -rf scratch && mkdir scratch && cd scratch || exit 1
scratch=$PWD
clean_up() {
  local code=$?
  kill $(jobs -pr) 2>/dev/null  # what a failed test left running
  [ $code -ne 0 ] || { cd "$scratch/.." && rm -rf scratch; }
}
trap clean_up EXIT

# run RANKS COMMAND...: its output to ./log, its exit code returned.
run() { "${mpirun[@]}" "$@" >log 2>&1; }
# alone COMMAND...: one rank, without mpirun.
alone() { "$@" >log 2>&1; }
# start RANKS COMMAND...: the same in the background; $launcher is mpirun's process.
start() { "${mpirun[@]}" "$@" >log 2>&1 & launcher=$!; }
# pid_of_rank RANK: its process, under the launcher started last.
pid_of_rank() {
  local pid
  for pid in $(ps -o pid= --ppid "$launcher"); do
    tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$1" && echo "$pid"
  done
}
# expect_abrupt_end PIDS: mpirun reports failure within 20 s, and none of its ranks lives on.
expect_abrupt_end() {
  local begin=$SECONDS pid
  wait "$launcher" && fail "mpirun reported success after a rank was killed"
  [ $((SECONDS - begin)) -le 20 ] || fail "mpirun took $((SECONDS - begin)) s to end"
  for pid in "$@"; do wait_for "! kill -0 $pid 2>/dev/null" 5; done  # mpirun kills, the kernel takes a while
}

# Facts of a run directory.
newest() { ls "$1" 2>/dev/null | sed -n 's/^checkpoint_0*\([0-9]*[0-9]\)\.h5$/\1/p' | sort -n | tail -1; }
expect_valid() { "$dino" info "$1" | grep -q "^checksums: all right" || fail "$1 is damaged"; }
expect_nothing_unfinished() {
  local left
  left=$(find "$1" -name '*unfinished*')
  [ -z "$left" ] || fail "left over: $left"
}
# expect_same_losses RUN RUN: all of them, bit for bit.
expect_same_losses() {
  "$tool" losses "$1/metrics.h5" >losses_a && "$tool" losses "$2/metrics.h5" >losses_b || fail "no losses"
  [ -s losses_a ] && cmp losses_a losses_b || fail "the losses of $1 and $2 differ"
}

# expect CODE COMMAND...: fails unless the command ends with this exit code.
expect() {
  local want=$1 got=0
  shift
  "$@" || got=$?
  [ $got -eq "$want" ] || fail "exit code $got instead of $want: $*"
}
# says TEXT: fails unless the last log contains it.
says() { grep -qF -- "$1" log || fail "the log does not say: $1"; }
# wait_for CONDITION [SECONDS]: 40 s unless told.
wait_for() {
  for _ in $(seq $((${2:-40} * 100))); do eval "$1" && return; sleep .01; done
  fail "never came true: $1"
}

# A model and a data set so small that a step takes some ten milliseconds.
"$tool" shards shards 96 1 || fail "cannot make shards"
cat >tiny.toml <<END
method = "dinov1"
[run]
steps = 20
log_every = 1
[data]
shards = "$PWD/shards"
batch_size = 12
block = 8
window = 4
[crops]
global_size = 32
local_size = 16
local_count = 2
[student]
arch = "vit_tiny"
patch_size = 8
embed_dim = 48
depth = 2
num_heads = 3
drop_path_rate = 0.2
[dino]
out_dim = 64
hidden_dim = 64
bottleneck_dim = 32
norm_last_layer = false
[optim]
lr = 0.02
warmup_epochs = 1
[checkpoint]
every = 100
[eval]
resize_size = 32
crop_size = 32
END
train="$dino train $PWD/tiny.toml"
# The same model and data with all of DINOv2.
v2="method=dinov2 student.ffn=swiglu student.registers=1 student.layer_scale=0.5 student.drop_path_uniform=true
 dino.centering=sinkhorn_knopp ibot.separate_head=true ibot.out_dim=48 ibot.hidden_dim=64 ibot.bottleneck_dim=32
 optim.lr_scaling=sqrt_1024 optim.layerwise_decay=0.9"
# The same with DINOv3, and a Gram teacher that is replaced on the way.
v3="method=dinov3 student.ffn=swiglu student.registers=1 student.layer_scale=0.5 student.drop_path_uniform=true
 student.rope_rescale=2 student.untie_global_and_local_cls_norm=true ibot.out_dim=48 ibot.hidden_dim=64
 ibot.bottleneck_dim=32 optim.lr_scaling=four_sqrt_1024 optim.layerwise_decay=0.9 schedules.lr.peak=5e-3
 schedules.lr.end=1e-4 schedules.lr.warmup_epochs=1"
gram_teacher="gram.use_loss=true gram.it_load_ema_teacher=3 gram.rep_update=true gram.update_frequency=4
 gram.it_first_update=8 gram.loss_weight_schedule.peak=2 gram.loss_weight_schedule.warmup_epochs=2"
gram="$gram_teacher crops.gram_teacher_crops_size=48"
# The same with crops of three sizes, a second data set, and colours that crops share.
mixed() {
  "$tool" shards "$scratch/curated" 31 2 || fail "cannot make shards"
  mixed="$gram_teacher crops.pairs.global_size=[32,48,24] crops.pairs.local_size=[16,24,16]
 crops.pairs.gram_teacher_crops_size=[48,48,32] crops.pairs.ratio=[0.4,0.3,0.3] crops.share_color_jitter=true
 data.mix.shards=$scratch/curated data.mix.share=0.4"
}
# The same data with a ResNet.
sed -e '/^patch_size/d;/^depth/d;/^num_heads/d;s/^arch.*/arch = "resnet50"/;s/^embed_dim.*/embed_dim = 64/' \
  -e 's/^drop_path_rate.*/drop_path_rate = 0.0\nstage_blocks = [1, 1, 1, 1]/;s/^local_size.*/local_size = 32/' \
  tiny.toml >tiny_resnet.toml
resnet_train="$dino train $PWD/tiny_resnet.toml"
