#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A disk that fills up while a checkpoint is saved: exit code 3, the older ones stay whole, and the
# run goes on once there is room. The small disk lives in a mount namespace of this script's own.
if [ -z "${DINO_OWN_MOUNTS:-}" ]; then
  if unshare -Urm mount -t tmpfs -o size=1m none /mnt 2>/dev/null; then
    DINO_OWN_MOUNTS=1 exec unshare -Urm bash "$0" "$@"
  fi
  echo "[  SKIPPED ] no small disk can be mounted here (unshare -Urm fails)"
  exit 77
fi
. "$(dirname "$0")/common.sh"
steps="checkpoint.every=5 checkpoint.keep_last=2"

expect 0 run 2 $train run.dir=whole
# Room for two checkpoints of 1.4 MB and the metrics, but not for a third.
mkdir disk && mount -t tmpfs -o size=4000k none disk || fail "cannot mount"
expect 3 run 2 $train run.dir=disk/run $steps
says "checkpoint_000000010.h5"
says "No space left on device"
[ "$(newest disk/run)" -eq 5 ] || fail "newest is not step 5 but $(newest disk/run)"
expect_valid disk/run/checkpoint_000000000.h5
expect_valid disk/run/latest.h5
expect_nothing_unfinished disk/run
mount -o remount,size=20m disk || fail "cannot enlarge the disk"
expect 0 run 2 $train run.dir=disk/run $steps
says "going on from step 5 of 20"
expect_same_losses whole disk/run
umount disk
