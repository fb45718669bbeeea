#!/usr/bin/env bash
# A real SLURM with two nodes on this machine, to try hydra/launcher=slurm: loopback only, no
# service, nothing outside of DIR.
#
#   bash scripts/slurm_local.sh up [DIR]      start it; prints what the shell needs to know
#   bash scripts/slurm_local.sh down [DIR]    end what `up` started in DIR, by its pid files
#
# Each node offers CPUS (2) processors, whatever the machine has. A job in the partition `high`
# displaces jobs in `low`, which get 20 s to save and are requeued.
set -euo pipefail

usage="usage: bash scripts/slurm_local.sh up|down [DIR]"
command=${1:-}
dir=${2:-${TMPDIR:-/tmp}/slurm-local-$(id -u)}
PATH=$PATH:/usr/sbin:/sbin

# The process whose pid is in a file of DIR, if it lives and is the program that we started.
pid_of() {
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null) && [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$2" ]] &&
    ! grep -q "^State:.Z" "/proc/$pid/status" && echo "$pid"
}

end() {
  local pid
  pid=$(pid_of "$1" "$2") || return 0
  kill "$pid"
  for _ in $(seq 50); do
    pid_of "$1" "$2" >/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
}

down() {
  for node in n1 n2; do end "slurmd.$node" slurmd; done
  end slurmctld slurmctld
  end munged munged
}

check_installed() {
  local missing=()
  for program in slurmctld slurmd sbatch srun munged; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  [[ ${#missing[@]} == 0 ]] && return
  echo "slurm_local.sh: ${missing[*]} not found; on Debian or Ubuntu:" \
    "apt-get install -y --no-install-recommends slurm-wlm slurm-client munge" >&2
  exit 2
}

# Two jobs of one user cannot be told from a stranger's without a shared key.
start_munge() {
  [[ -s $dir/munge.key ]] || (umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
  munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
    --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munge.seed" \
    >"$dir/munged.out" 2>&1
}

write_configuration() {
  local host user cpus=${CPUS:-2} port=${PORT:-26817}
  host=$(hostname -s) user=$(id -un)
  cat >"$dir/slurm.conf" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
# A requeued job waits until its old credential has expired: by default two minutes.
AuthInfo=socket=$dir/munge.socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool.%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.%n.log
# No cgroups and no process accounting: both need more than a container offers.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdTimeout=10
KillWait=10
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=$cpus RealMemory=4000
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=$cpus RealMemory=4000
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 GraceTime=20 State=UP
PartitionName=high Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF State=UP
CONF
}

wait_for_nodes() {
  for _ in $(seq 100); do
    [[ $(sinfo --noheader --Node --partition=low --states=idle 2>/dev/null | wc -l) == 2 ]] && return
    sleep 0.1
  done
  return 1
}

up() {
  check_installed
  mkdir -p "$dir"/{state,spool.n1,spool.n2}
  dir=$(cd "$dir" && pwd)
  down # what an earlier call left
  start_munge
  write_configuration
  export SLURM_CONF=$dir/slurm.conf
  slurmctld -c
  slurmd -N n1
  slurmd -N n2
  wait_for_nodes || {
    echo "slurm_local.sh: no nodes; see $dir/*.log, or whether another SLURM has port ${PORT:-26817}" >&2
    down
    exit 1
  }
  sinfo --Node
  # Names of the nodes do not resolve; all processes run on this machine.
  echo "export SLURM_CONF=$SLURM_CONF MASTER_ADDR=127.0.0.1"
}

case $command in
  up | down) "$command" ;;
  *) echo "$usage" >&2 && exit 2 ;;
esac
