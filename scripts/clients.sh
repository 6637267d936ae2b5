#!/usr/bin/env bash
# Installs the SSH clients that the tests use: Debian's packages, npm's ssh2, newer asyncssh and paramiko; and ssh-audit.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
packages=()
want() { command -v "$1" > /dev/null || packages+=("$2"); }
want dbclient dropbear-bin
want plink putty-tools
want lftp lftp
want rclone rclone
want sshfs sshfs
want ansible ansible-core
want rsync rsync
want git git
want curl curl
want node nodejs
want systemd-analyze systemd
want npm npm
want Xvfb xvfb
want xauth xauth
want xdpyinfo x11-utils
/usr/bin/python3 -c 'import paramiko' 2> /dev/null || packages+=(python3-paramiko)
/usr/bin/python3 -c 'import asyncssh' 2> /dev/null || packages+=(python3-asyncssh)
/usr/bin/python3 -m pip --version > /dev/null 2>&1 || packages+=(python3-pip)
if [[ ${#packages[@]} != 0 ]]; then
    say "installing ${packages[*]}"
    apt_install "${packages[@]}" > /dev/null || die "the tests need these packages: ${packages[*]}"
fi
# What Debian has not, or only older, outside the checkout.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/river
SSH2=1.17.0 ASYNCSSH=2.24.1 PARAMIKO=5.1.0 AUDIT=3.9.0
if ! grep -qs "\"version\": \"$SSH2\"" "$cache/npm/node_modules/ssh2/package.json"; then
    say "installing ssh2 $SSH2 into $cache/npm"
    mkdir -p "$cache/npm"
    # Its optional parts are only speed, and want a compiler.
    npm install --prefix "$cache/npm" --omit=optional --ignore-scripts --prefer-offline --no-audit --no-fund \
        --loglevel=error "ssh2@$SSH2" > /dev/null || die "the tests need npm's ssh2 $SSH2"
fi
if [[ ! -d $cache/python/asyncssh-$ASYNCSSH.dist-info || ! -d $cache/python/paramiko-$PARAMIKO.dist-info ]]; then
    say "installing asyncssh $ASYNCSSH and paramiko $PARAMIKO into $cache/python"
    rm -rf "$cache/python"
    /usr/bin/python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore \
        --target "$cache/python" "asyncssh==$ASYNCSSH" "paramiko==$PARAMIKO" ||
        die "the tests need PyPI's asyncssh $ASYNCSSH and paramiko $PARAMIKO"
fi
if [[ ! -d $cache/python/ssh_audit-$AUDIT.dist-info ]]; then
    say "installing ssh-audit $AUDIT into $cache/python"
    /usr/bin/python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore \
        --target "$cache/python" --upgrade "ssh-audit==$AUDIT" || die "the tests need PyPI's ssh-audit $AUDIT"
fi
