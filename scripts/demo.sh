#!/usr/bin/env bash
# `make demo`: a gateway and its runners on this machine, and a task through plain ssh. Idempotent.
# ENGINE=docker|process, NODES=n. State under .demo/; `make demo-stop` ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

NODES=${NODES:-1}
[[ $NODES =~ ^[1-9][0-9]?$ ]] || die "NODES is a number from 1 to 99"
mkdir -p "$DEMO" && chmod 700 "$DEMO"
choose_engine
build
changed_over && { say "changing over to ENGINE=$ENGINE NODES=$NODES"; stop_runners; }
printf '%s %s\n' "$ENGINE" "$NODES" > "$DEMO/shape"

start_gateway
enrol
for n in $(seq "$NODES"); do
    [[ $ENGINE == docker ]] && engine_up "$n"
    start_runner "$n"
done
for n in $(seq "$NODES"); do
    wait_for "node-$n is ready" node_is_ready "$n"
done

say "a task by plain ssh:"
printf '\n$ ssh -F .demo/ssh_config river "task run -- echo hello from a task"\n'
first_task
cat << TEXT

It works. Go on with:
  ssh -F .demo/ssh_config river
  ssh -F .demo/ssh_config river "task run -- sh -c 'echo out; echo err >&2; exit 7'"; echo \$?
  ssh -F .demo/ssh_config river task submit -c 1 -- sleep 60
  ssh -F .demo/ssh_config river task list
  make demo-stop
TEXT
