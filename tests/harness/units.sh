#!/bin/sh
# Stands in for systemctl(1) and journalctl(1) on a machine without systemd: starts, ends and starts again what the units
# say, as the user and with the rights that they say, and keeps what it prints. `enable` leaves a link, `disable` takes it.
set -u
kept=/run/units
wants=/etc/systemd/system/multi-user.target.wants
mkdir -p "$kept"

file() {
    for folder in /etc/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system; do
        if [ -f "$folder/$1.service" ]; then echo "$folder/$1.service" && return; fi
    done
    echo "Unit $1.service not found." >&2
    return 5
}
said() { sed -n "s/^$2=//p" "$1" | head -n 1; }

# Ends when it is asked to, or when the unit is not one that is started again.
supervise() {
    unit=$1 path=$(file "$1") || exit
    as=
    user=$(said "$path" User)
    [ -z "$user" ] || as="setpriv --reuid=$user --regid=$user --clear-groups"
    if grep -q '^CapabilityBoundingSet=$' "$path"; then as="${as:-setpriv} --inh-caps=-all --bounding-set=-all"; fi
    if grep -q '^NoNewPrivileges=yes' "$path"; then as="${as:-setpriv} --no-new-privs"; fi
    state=$(said "$path" StateDirectory)
    if [ -n "$state" ]; then
        install -d -m "$(said "$path" StateDirectoryMode)" -o "${user:-root}" -g "${user:-root}" "/var/lib/$state"
    fi
    while [ ! -e "$kept/$unit.end" ]; do
        # shellcheck disable=SC2046,SC2086
        $as $(said "$path" ExecStart) >> "$kept/$unit.log" 2>&1 < /dev/null &
        echo $! > "$kept/$unit.pid"
        wait $!
        rm -f "$kept/$unit.pid"
        [ "$(said "$path" Restart)" = always ] || break
        [ -e "$kept/$unit.end" ] || sleep 1
    done
    rm -f "$kept/$unit.up"
}

start() {
    file "$1" > /dev/null || exit
    [ ! -e "$kept/$1.up" ] || return 0
    rm -f "$kept/$1.end"
    : > "$kept/$1.up"
    setsid "$0" supervise "$1" > /dev/null 2>&1 < /dev/null &
}
stop() {
    [ -e "$kept/$1.up" ] || return 0
    : > "$kept/$1.end"
    told=
    while [ -e "$kept/$1.up" ]; do
        # Once each: a second signal would ask for haste.
        pid=$(cat "$kept/$1.pid" 2> /dev/null)
        if [ "$pid" != "$told" ]; then told=$pid && kill "$pid" 2> /dev/null; fi
        sleep 0.1
    done
}
enable() {
    path=$(file "$1") || exit
    mkdir -p "$wants"
    ln -sf "$path" "$wants/$1.service"
}
disable() {
    rm -f "$wants/$1.service"
}

if [ "${0##*/}" = journalctl ]; then
    for word; do unit=${word%.service}; done
    cat "$kept/$unit.log"
    exit
fi
verb=$1 now=
shift
if [ "$verb" = supervise ]; then
    supervise "$1"
    exit
fi
for word; do
    unit=${word%.service}
    case $word in
        --now) now=yes && continue ;;
        -* | *.socket) continue ;;
    esac
    case $verb in
        start) start "$unit" ;;
        stop) stop "$unit" ;;
        restart) stop "$unit" && start "$unit" ;;
        enable) enable "$unit" && { [ -z "$now" ] || start "$unit"; } ;;
        disable) disable "$unit" && { [ -z "$now" ] || stop "$unit"; } ;;
        status | is-active) if [ -e "$kept/$unit.pid" ]; then echo active; else echo inactive && exit 3; fi ;;
        *) echo "systemctl $verb: not here" >&2 && exit 1 ;;
    esac
done
