#!/usr/bin/env bash
# Installs the SSH clients that the tests use, from Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
packages=()
want() { command -v "$1" > /dev/null || packages+=("$2"); }
want dbclient dropbear-bin
want plink putty-tools
want lftp lftp
want rsync rsync
want git git
want curl curl
want script bsdutils
/usr/bin/python3 -c 'import paramiko' 2> /dev/null || packages+=(python3-paramiko)
/usr/bin/python3 -c 'import asyncssh' 2> /dev/null || packages+=(python3-asyncssh)
[[ ${#packages[@]} == 0 ]] && exit 0
install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" > /dev/null; }
say "installing ${packages[*]}"
install || { as_root apt-get update -q > /dev/null && install; } || die "the tests need these packages: ${packages[*]}"
