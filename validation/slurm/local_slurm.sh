#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A whole Slurm (munged, slurmctld, slurmd) on this host alone, for tests; everything of it lies in one folder.
#   local_slurm.sh start DIR [CPUS]   then: . DIR/env.sh; sinfo; sbatch ...
#   local_slurm.sh stop DIR           stops the daemons that `start` started, by their pid files
# Needs root and the packages slurm-wlm and munge. Nothing under /etc is read or written.
set -euo pipefail
action=$1
dir=$(realpath -m "$2")
host=$(hostname -s)

write_configuration() { # CPUS: may exceed those of the machine
  local cpus=$1 port=$((20000 + $$ % 10000 * 2))
  local memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) * 9 / 10 / 1024))
  # no cgroups and no affinity: works in containers; cred_expire: a requeued job may run again after 5 s, not 120
  cat >"$dir/slurm.conf" <<END
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=2,sched_interval=2,sched_min_interval=0,batch_sched_delay=0
ReturnToService=2
JobRequeue=1
KillWait=5
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus Boards=1 SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=$memory
PartitionName=local Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
  cat >"$dir/env.sh" <<END
export SLURM_CONF=$dir/slurm.conf OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
END
}

retry() { # TENTHS COMMAND...: until it succeeds
  local left=$1
  shift
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ $left -gt 0 ] || return 1
    sleep 0.1
  done
}

munge_answers() { munge -n -S "$dir/munge/socket" | unmunge -S "$dir/munge/socket"; }
node_is_up() { sinfo -h -o %T | grep -E '^(idle|mixed|allocated)'; }

start() {
  rm -rf "$dir"
  mkdir -p "$dir"/{state,spool,munge}
  chmod 755 "$dir" && chmod 711 "$dir/munge"
  write_configuration "${1:-4}"
  (umask 077 && head -c 128 /dev/urandom >"$dir/munge/key")
  # --force: root's munged mistrusts folders such as /tmp
  munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munged.pid" \
    --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" 2>"$dir/munge/errors"
  retry 100 munge_answers || { echo "munged does not answer: $dir/munge/log"; return 1; }
  . "$dir/env.sh"
  { slurmctld -c && slurmd -c -N "$host" && retry 300 node_is_up; } || { tail -n 5 "$dir"/*.log; return 1; }
}

stop_daemon() { # NAME
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 0
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] || return 0
  kill "$pid"
  retry 100 not_running "$pid" || kill -KILL "$pid"
}
not_running() { ! kill -0 "$1"; }

stop() {
  [ -e "$dir/env.sh" ] || return 0
  . "$dir/env.sh"
  timeout 10 scancel --user=root || true
  retry 100 no_jobs || true
  for daemon in slurmctld slurmd munged; do stop_daemon $daemon; done
}
no_jobs() { [ -z "$(timeout 5 squeue -h)" ]; }

case $action in
  start) start "${3:-4}" ;;
  stop) stop ;;
  *) echo "local_slurm.sh start|stop DIR"; exit 2 ;;
esac
