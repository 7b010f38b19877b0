# SPDX-License-Identifier: Apache-2.0
# What the regression scripts share. They are called as SCRIPT TOOL MPIRUN..., where MPIRUN wants a
# number of ranks and a command behind it, and source this file first.
set -u
tool=$1
shift
mpirun=("$@")
dino=$DINO_EXECUTABLE

fail() { echo "FAIL: $*"; [ -s log ] && tail -20 log; exit 1; }
skip() { echo "[  SKIPPED ] $*"; exit 77; }

# Everything lies in a folder of its own that begins empty. Numbers are read as in "C".
export LC_ALL=C
rm -rf scratch && mkdir scratch && cd scratch || exit 1

# run RANKS COMMAND...: its output to ./log, its exit code returned.
run() { "${mpirun[@]}" "$@" >log 2>&1; }
# start RANKS COMMAND...: the same in the background; $launcher is mpirun's process.
start() { "${mpirun[@]}" "$@" >log 2>&1 & launcher=$!; }
ranks_of_launcher() { ps -o pid= --ppid "$launcher" | tr -d ' '; }

# expect CODE COMMAND...: fails unless the command ends with this exit code.
expect() {
  local want=$1 got=0
  shift
  "$@" || got=$?
  [ $got -eq "$want" ] || fail "exit code $got instead of $want: $*"
}
# says TEXT: fails unless the last log contains it.
says() { grep -qF -- "$1" log || fail "the log does not say: $1"; }
# wait_for CONDITION: up to 40 s.
wait_for() {
  for _ in $(seq 4000); do eval "$1" && return; sleep .01; done
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
