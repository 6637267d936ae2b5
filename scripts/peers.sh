#!/usr/bin/env bash
# Installs what `make bench` compares river with, and what newcomers' nodes have: sshd, from Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
[[ -x /usr/sbin/sshd ]] && exit 0
install() { as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends openssh-server > /dev/null; }
say "installing openssh-server"
install || { as_root apt-get update -q > /dev/null && install; } || die "benchmark and newcomer tests need openssh-server"
