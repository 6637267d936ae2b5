#!/usr/bin/env bash
# The same kills for Slurm, to compare with row F2 of docs/chaos.md: scripts/slurm.sh [KILLS].
# Debian's slurmctld, slurmd and munge, in namespaces of their own; jobs write down that they began and ended.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
WHO=slurm
KILLS=${1:-50}

if [[ ${2:-} != inside ]]; then
    if ! command -v slurmctld > /dev/null; then
        say "installing slurmctld, slurmd, slurm-client and munge; none of them is started"
        # Debian starts what it installs, but where this says no.
        [[ -e /usr/sbin/policy-rc.d ]] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d && denied=yes; }
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge > /dev/null
        [[ -z ${denied:-} ]] || rm -f /usr/sbin/policy-rc.d
    fi
    # A network, mounts and processes that end with this script.
    exec unshare --net --mount --pid --fork --mount-proc "$0" "$KILLS" inside
fi

ip link set lo up
# getaddrinfo(3) with AI_ADDRCONFIG, as Slurm asks, wants an address beside loopback's.
ip link add peer0 type veth peer name peer1
ip address add 10.88.0.1/24 dev peer0
ip link set peer0 up && ip link set peer1 up
DIR=$(mktemp -d /tmp/slurm-XXXXXX)
trap '[[ -n ${KEEP:-} ]] || rm -rf "$DIR"' EXIT
mount -t tmpfs none /etc/slurm 2> /dev/null || { mkdir -p /etc/slurm && mount -t tmpfs none /etc/slurm; }
mkdir -p "$DIR"/{state,spool,munge} && chmod 755 "$DIR"
dd if=/dev/urandom of="$DIR/munge/key" bs=1024 count=1 status=none
chmod 400 "$DIR/munge/key"
munged --force --key-file="$DIR/munge/key" --socket="$DIR/munge/sock" --pid-file="$DIR/munge/pid" \
    --log-file="$DIR/munge/log" --seed-file="$DIR/munge/seed"
HOST=$(hostname -s)
grep -qw "$HOST" /etc/hosts || { cp /etc/hosts "$DIR/hosts" && echo "127.0.0.1 $HOST" >> "$DIR/hosts" && mount --bind "$DIR/hosts" /etc/hosts; }
cat > /etc/slurm/slurm.conf << EOF
ClusterName=peer
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/sock
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
SlurmctldPidFile=$DIR/ctld.pid
SlurmdPidFile=$DIR/d.pid
SlurmctldLogFile=$DIR/ctld.log
SlurmdLogFile=$DIR/d.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/builtin
SlurmdParameters=config_overrides
MinJobAge=3600
ReturnToService=2
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=16 State=UNKNOWN
PartitionName=all Nodes=$HOST Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:64
EOF
cat > "$DIR/job.sh" << EOF
#!/bin/sh
echo "\$SLURM_JOB_ID begin" >> $DIR/log
echo "\$SLURM_JOB_ID end" >> $DIR/log
exit \$((SLURM_JOB_ID % 7))
EOF
touch "$DIR/log" "$DIR/acks"

slurmctld -D 2>> "$DIR/ctld.err" & CTLD=$!
slurmd -D 2>> "$DIR/d.err" & 
for _ in $(seq 100); do sinfo -h -o %T 2> /dev/null | grep -q idle && break; sleep 0.2; done
sinfo -h -o %T | grep -q idle || { cat "$DIR"/*.log >&2; die "Slurm does not come up"; }

# Five clients, each as fast as sbatch goes.
for _ in 1 2 3 4 5; do
    (while [[ ! -e $DIR/stop ]]; do sbatch --parsable --chdir=/ --output=/dev/null "$DIR/job.sh" 2> /dev/null >> "$DIR/acks" || sleep 0.1; done) &
done
for _ in $(seq "$KILLS"); do
    sleep "0.$((RANDOM % 8 + 1))"
    kill -9 "$CTLD" && wait "$CTLD" 2> /dev/null || true
    slurmctld -D 2>> "$DIR/ctld.err" & CTLD=$!
done
touch "$DIR/stop"
# Until nothing waits and nothing runs, or nothing has changed for half a minute.
last= same=0
while [[ $same -lt 60 ]]; do
    left=$(squeue -h -o %i 2> /dev/null | wc -l)
    now="$left $(wc -l < "$DIR/log")"
    [[ $left == 0 && $(wc -l < "$DIR/log") -gt 0 && $same -gt 5 ]] && break
    if [[ $now == "$last" ]]; then same=$((same + 1)); else same=0 last=$now; fi
    sleep 0.5
done
acked=$(wc -l < "$DIR/acks")
ids=$(sort -u "$DIR/acks" | wc -l)
begun=$(grep -c begin "$DIR/log" || true)
twice=$(grep begin "$DIR/log" | sort | uniq -d | wc -l)
never=$(comm -23 <(sort -u "$DIR/acks") <(grep begin "$DIR/log" | cut -d' ' -f1 | sort -u) | wc -l)
echo "Slurm $(slurmctld -V | cut -d' ' -f2): $KILLS kills of slurmctld; $acked acknowledged, $((acked - ids)) numbers given twice;" \
    "$begun begun, $twice numbers begun more than once, $never acknowledged numbers never begun"
kill %1 %2 2> /dev/null || true
