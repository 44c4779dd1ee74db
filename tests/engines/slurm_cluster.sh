# shellcheck shell=bash
# A Slurm cluster of three nodes n1, n2, n3 on one machine. Sourced by slurm, after engine.sh.
#
# Each node is a process namespace with a network and a host name of its own: killing its first process is a
# loss of power. The controller is in the machine's own namespaces, at 198.18.7.254 on the bridge that joins
# the nodes.
bridge=lockstep-br
network=198.18.7
cluster=${folder:?}/cluster
export SLURM_CONF=$cluster/slurm.conf

cluster_up() {
  mkdir -p "$cluster"/spool-n{1,2,3}
  (umask 077 && dd if=/dev/urandom of="$cluster/munge.key" bs=1k count=1 2>/dev/null)
  write_conf
  munged --force --key-file="$cluster/munge.key" --socket="$cluster/munge.socket" --pid-file="$cluster/munge.pid" \
    --log-file="$cluster/munge.log" --seed-file="$cluster/munge.seed"
  ip link add $bridge type bridge
  ip address add $network.254/24 dev $bridge
  ip link set $bridge up
  slurmctld -i -D -L "$cluster/slurmctld.log" 2>/dev/null &
  echo $! >"$cluster/slurmctld.pid"
  for node in 1 2 3; do node_up $node; done
  until_true 30 'three nodes are idle' nodes_are idle 3
}

write_conf() {
  cat >"$SLURM_CONF" <<CONF
ClusterName=lockstep
SlurmctldHost=$(hostname)($network.254)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$cluster/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool-%n
SlurmctldPidFile=$cluster/slurmctld-own.pid
SlurmdPidFile=$cluster/slurmd-%n.pid
SlurmdLogFile=$cluster/slurmd-%n.log
SlurmctldPort=17000
SlurmdPort=17001
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
ReturnToService=2
SlurmdTimeout=5
KillWait=15
SchedulerParameters=batch_sched_delay=1,sched_interval=2
SlurmdParameters=config_overrides
MailProg=/bin/true
NodeName=n1 NodeAddr=$network.1 CPUs=2 RealMemory=4000
NodeName=n2 NodeAddr=$network.2 CPUs=2 RealMemory=4000
NodeName=n3 NodeAddr=$network.3 CPUs=2 RealMemory=4000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  printf '127.0.0.1 localhost\n%s.254 %s\n' $network "$(hostname)" >"$cluster/hosts"
  for node in 1 2 3; do echo "$network.$node n$node" >>"$cluster/hosts"; done
}

# node_up NUMBER: its namespaces, a link to the bridge, slurmd.
node_up() {
  ip netns add "lockstep-n$1"
  ip link add "lockstep-v$1" type veth peer name eth0 netns "lockstep-n$1"
  ip link set "lockstep-v$1" master $bridge up
  ip -n "lockstep-n$1" address add "$network.$1/24" dev eth0
  ip -n "lockstep-n$1" link set eth0 up
  ip -n "lockstep-n$1" link set lo up
  # Not `ip netns exec`, which would hide /sys/fs/cgroup.
  # shellcheck disable=SC2016
  nsenter --net="/run/netns/lockstep-n$1" unshare --uts --mount --pid --fork --mount-proc --kill-child bash -c '
    hostname "$1" && mount --bind "$2/hosts" /etc/hosts && slurmd -N "$1" -f "$2/slurm.conf" && exec sleep infinity
  ' bash "n$1" "$cluster" >"$cluster/node-$1.log" 2>&1 &
  echo $! >"$cluster/node-$1.pid"
}

# node_down NUMBER: all its processes are killed at once.
node_down() {
  local pid
  pid=$(cat "$cluster/node-$1.pid")
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  ip netns delete "lockstep-n$1" 2>/dev/null || true
  ip link delete "lockstep-v$1" 2>/dev/null || true
}

nodes_are() { [ "$(sinfo -h -N -o '%T' | grep -c "$1")" = "$2" ]; }

cluster_down() {
  for node in 1 2 3; do node_down $node; done
  for daemon in slurmctld munge; do
    [ ! -s "$cluster/$daemon.pid" ] || kill "$(cat "$cluster/$daemon.pid")" 2>/dev/null || true
  done
  wait
  ip link delete $bridge 2>/dev/null || true
}
