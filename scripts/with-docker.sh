#!/usr/bin/env bash
# Runs a command with a Docker of its own, unless RIVER_DOCKER_SOCKET names one.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
DEMO=$(mktemp -d /tmp/river-docker.XXXXXX)
trap 'stop "$DEMO/engine-1/dockerd.pid" dockerd; as_root umount "$DEMO"/engine-1/exec/netns/* 2> /dev/null || true; rm -rf "$DEMO"' EXIT
if [[ -z ${RIVER_DOCKER_SOCKET:-} ]]; then
    { can_root && install_missing; } || die "the tests need Docker: root and apt, or RIVER_DOCKER_SOCKET"
    mkdir -p "$DEMO/engine-1"
    dir=$DEMO/engine-1
    background "$dir/dockerd.pid" "$dir/dockerd.log" dockerd --data-root "$dir/data" --exec-root "$dir/exec" \
        -H "unix://$dir/docker.sock" --pidfile "$dir/own.pid"
    wait_for "dockerd answers" docker_answers "$dir/docker.sock"
    export RIVER_DOCKER_SOCKET=$dir/docker.sock
fi
"$@"
