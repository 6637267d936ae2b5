#!/usr/bin/env bash
# `make chaos`: installs what the rows of docs/chaos.md need, and plays them. scripts/chaos.sh [--small] [--seed N] [ROW…]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
WHO=chaos
packages=()
want() { command -v "$1" > /dev/null || packages+=("$2"); }
want ip iproute2
want iptables iptables
want pgrep procps
want strace strace
want mkfs.ext4 e2fsprogs
want losetup mount
want dockerd docker.io
want busybox busybox-static
can_root || die "the rows need root, for namespaces"
if [[ ${#packages[@]} != 0 ]]; then
    say "installing ${packages[*]}"
    apt_install "${packages[@]}" > /dev/null || die "the rows need these packages: ${packages[*]}"
fi
exec "${CARGO_TARGET_DIR:-target}/debug/river-chaos" "$@"
