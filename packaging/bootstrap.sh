#!/bin/sh
# Makes this machine the node @NODE@ of the river at @GATEWAY@, with river @VERSION@. For root, from a pipe:
#   ssh river node bootstrap @NODE@ | ssh root@machine sh
# Run again, it brings the programs of the gateway's version, and leaves configuration and certificate as they are.
# All of it is one function, so that half a script does nothing.
river_bootstrap() {
set -eu
umask 022

node='@NODE@' gateway='@GATEWAY@' engine='@ENGINE@' version='@VERSION@' arch='@ARCH@'
prefix='@PREFIX@' state='@STATE@' socket='@SOCKET@' start='@START@' known='@KNOWN@' name='@NAME@' kib='@KIB@'

say() { printf 'river: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
free_kib() { set -- $(df -Pk "$1" | tail -n 1); echo "$4"; }

[ "$(uname -s)" = Linux ] || die "this is no Linux"
[ "$(uname -m)" = "$arch" ] || die "these programs are for $arch, and this machine is $(uname -m)"
[ "$(id -u)" = 0 ] || die "this needs root: ... | ssh root@$(uname -n) sh"
for tool in base64 gzip sha256sum df tail setsid; do
    command -v "$tool" > /dev/null || die "$tool is missing here: install coreutils, gzip and util-linux"
done

case $prefix in
    /usr | /usr/local) config=/etc/river/runner.toml ;;
    *) config=$prefix/etc/river/runner.toml ;;
esac
if [ "$engine" = docker ] && [ ! -f "$config" ]; then
    [ -S "$socket" ] || die "Docker is not here ($socket): install it (Debian: apt-get install docker.io), or choose --engine process, which isolates nothing"
    [ -x /bin/busybox ] || say "tasks without --image need a static /bin/busybox (Debian: apt-get install busybox-static)"
fi
systemd=
if [ -d /run/systemd/system ]; then systemd=yes; fi

mkdir -p "$prefix/bin" "$prefix/lib/river" "${config%/*}"
[ -d "$state" ] || mkdir -m 0711 -p "$state"
[ "$(free_kib "$prefix/lib/river")" -ge $((2 * kib)) ] || die "$prefix: too little room, $((2 * kib / 1024)) MiB are needed"
[ "$(free_kib "$state")" -ge 102400 ] || die "$state: too little room for output of tasks, 100 MiB at least are needed"

# The programs, beside those of other versions; each whole and as it was sent, or not at all.
folder=$prefix/lib/river/$name
new=$folder.part.$$
trap 'rm -rf "$new"' EXIT
rm -rf "$new"
mkdir "$new"
program() {
    base64 -d | gzip -dc > "$new/$1" || true
    printf '%s  %s\n' "$2" "$new/$1" | sha256sum -c > /dev/null 2>&1 || die "$1 arrived damaged: try again"
    chmod 0755 "$new/$1"
}
@PROGRAMS@
if [ -d "$folder" ]; then
    say "river $version ($name) is here already"
else
    mv "$new" "$folder"
    say "river $version is in $folder"
fi
before=$(readlink "$prefix/bin/river-runner" 2> /dev/null || true)
if [ "$before" != "../lib/river/$name/river-runner" ]; then
    ln -sf "../lib/river/$name/river-runner" "$prefix/bin/.river-runner.$$"
    mv -f "$prefix/bin/.river-runner.$$" "$prefix/bin/river-runner"
    # The one before stays, as a way back; older ones go. No box stands on any of them.
    for old in "$prefix"/lib/river/*-*/; do
        old=${old%/}
        case $before in *"/${old##*/}/"*) continue ;; esac
        if [ "$old" != "$folder" ] && [ -f "$old/river-runner" ]; then rm -rf "$old"; fi
    done
fi

runner() { "$prefix/bin/river-runner" --config "$config" "$@"; }
if [ ! -f "$config" ]; then
    cat > "$config" << RIVER_CONFIG
# Made by node bootstrap; yours from now on. All that can be set: river-runner init config
gateway = "$gateway"
state_dir = "$state"
engine = "$engine"
docker_socket = "$socket"
RIVER_CONFIG
    say "$config is written"
fi
runner config check "$config" > /dev/null || die "$config is not understood by river $version: river-runner config check $config"

# A node that is connected has what it needs. Any other joins, also one that has a certificate: the gateway may have
# forgotten the node, or lost the keys that the node knows it by. It is the same node, and what runs there goes on.
own=$(runner node 2> /dev/null < /dev/null || true)
if [ -n "$own" ] && [ "$own" != "$node" ]; then
    die "this machine is node $own already: bootstrap that one, or first 'ssh river node remove $own' and here rm -r $state"
fi
if [ "$known" != connected ]; then
    if ! runner join --token-file - << 'RIVER_TOKEN' >&2
@TOKEN@
RIVER_TOKEN
    then
        if [ -z "$own" ] || [ "$known" = no ]; then
            die "it could not join: 'ssh river node bootstrap $node' makes a script with a new token"
        fi
        say "it could not join again, and keeps the certificate that it has"
    fi
elif [ -z "$own" ]; then
    die "another machine is connected as node $node: choose another name, or first 'ssh river node remove $node'"
fi

unit=/etc/systemd/system/river-runner.service
if [ -n "$systemd" ]; then
    cat > "$unit" << 'RIVER_UNIT'
@UNIT@
RIVER_UNIT
    systemctl daemon-reload < /dev/null
fi

by_hand="setsid $prefix/bin/river-runner --config $config >> $state/runner.log 2>&1 < /dev/null &"
running=
if [ "$start" = no ]; then
    :
elif [ -n "$systemd" ]; then
    systemctl enable --quiet river-runner < /dev/null
    # Tasks and boxes do not notice.
    systemctl restart river-runner < /dev/null
    running=yes
elif [ "$start" = background ]; then
    pid=$(cat "$state/runner.pid" 2> /dev/null || true)
    case $(readlink "/proc/${pid:-none}/exe" 2> /dev/null || true) in
        */river-runner*)
            kill "$pid"
            while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2> /dev/null; do sleep 0.1; done
            ;;
    esac
    setsid "$prefix/bin/river-runner" --config "$config" >> "$state/runner.log" 2>&1 < /dev/null &
    echo $! > "$state/runner.pid"
    sleep 1
    [ -d "/proc/$(cat "$state/runner.pid")" ] || die "river-runner ended at once: see $state/runner.log"
    running=yes
fi

say "this machine is node $node"
if [ -z "$running" ]; then
    if [ -n "$systemd" ]; then
        say "not started: systemctl enable --now river-runner"
    else
        say "not started, for no systemd runs here: --background starts it, or type"
        say "  $by_hand"
    fi
fi
say "next, where you are:"
say "  ssh river node status $node"
say "  ssh river task run -t $node -- uname -n"
}
river_bootstrap
