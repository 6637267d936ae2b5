#!/usr/bin/env bash
# `make demo-stop`: leaves no process, container, mount or namespace of the demo. State stays in .demo/.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
[[ -d $DEMO ]] || { say "no demo here"; exit 0; }
stop_runners
stop "$DEMO/gateway.pid" river-gateway
say "stopped; .demo/ keeps its state, \`rm -r .demo\` forgets it"
