# Shared by the demo's scripts. Ends only processes that its own pid files name.
DEMO=$PWD/.demo
BIN=$PWD/target/debug
GUEST=$PWD/target/guest/x86_64-unknown-linux-gnu/debug/river-guest

say() { printf '%s: %s\n' "${WHO:-demo}" "$*" >&2; }
die() { say "$@"; exit 1; }

# Are we, or can we become, root?
as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi
}
can_root() { [[ $(id -u) == 0 ]] || sudo -n true 2> /dev/null; }

# A pid file names a living process with this word in its command line.
alive() {
    local pid
    pid=$(cat "$1" 2> /dev/null) || return 1
    [[ -n $pid ]] && { tr '\0' ' ' < "/proc/$pid/cmdline"; } 2> /dev/null | grep -q -- "$2"
}

stop() {
    local pid
    alive "$1" "$2" || { rm -f "$1"; return 0; }
    pid=$(cat "$1")
    as_root kill "$pid" 2> /dev/null || true
    for _ in $(seq 100); do
        alive "$1" "$2" || break
        sleep 0.1
    done
    alive "$1" "$2" && as_root kill -9 "$pid" 2> /dev/null
    rm -f "$1"
}

wait_for() {
    local what=$1
    shift
    for _ in $(seq 300); do
        "$@" > /dev/null 2>&1 && return 0
        sleep 0.1
    done
    die "waited 30 s for: $what. See the logs in .demo/"
}

# Of Debian; with new lists where the old ones do not do.
apt_install() {
    local install=(as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@")
    "${install[@]}" || { as_root apt-get update -q && "${install[@]}"; }
}

install_missing() {
    local packages=()
    command -v dockerd > /dev/null || packages+=(docker.io)
    command -v iptables > /dev/null || packages+=(iptables)
    [[ -x /bin/busybox ]] || packages+=(busybox-static)
    command -v ip > /dev/null || packages+=(iproute2)
    [[ ${#packages[@]} == 0 ]] && return 0
    command -v apt-get > /dev/null || return 1
    say "installing ${packages[*]}"
    apt_install "${packages[@]}" > "$DEMO/apt.log" 2>&1
}

choose_engine() {
    command -v cargo > /dev/null || die "cargo is missing: https://rustup.rs, then again"
    command -v ssh > /dev/null || { can_root && as_root apt-get install -y -q openssh-client; } || die "ssh is missing"
    local asked=${ENGINE:-}
    [[ -z $asked || $asked == docker || $asked == process ]] || die "ENGINE is docker or process"
    ENGINE=${asked:-docker}
    if [[ $ENGINE == docker ]] && ! { can_root && install_missing; }; then
        [[ -z $asked ]] || die "Docker cannot be had here: no root, or no apt"
        say "Docker cannot be had here (no root, or no apt): taking the process engine, which isolates nothing"
        ENGINE=process
    fi
}

build() {
    say "building (the first time takes some minutes)"
    cargo build -q -p river-gateway -p river-runner --bins
    RUSTFLAGS='-C target-feature=+crt-static' cargo build -q -p river-tunnel --no-default-features \
        --bin river-guest --target x86_64-unknown-linux-gnu --target-dir target/guest
}

changed_over() { [[ -f $DEMO/shape && $(cat "$DEMO/shape") != "$ENGINE $NODES" ]]; }

# `setsid`: a closed terminal ends nothing. The pid is the program's own.
background() {
    local pid_file=$1 log=$2
    shift 2
    setsid sh -c 'echo $$ > "$0"; exec "$@"' "$pid_file" "$@" >> "$log" 2>&1 < /dev/null &
    wait_for "$pid_file" test -s "$pid_file"
}

port_is_free() { ! (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

start_gateway() {
    if alive "$DEMO/gateway.pid" river-gateway; then return; fi
    PORT=$(cat "$DEMO/port" 2> /dev/null || echo 2222)
    while ! port_is_free "$PORT"; do PORT=$((PORT + 1)); done
    echo "$PORT" > "$DEMO/port"
    printf 'listen = "127.0.0.1:%s"\nstate_dir = "%s/gateway"\naddress = "127.0.0.1"\nssh_config_file = "%s/boxes"\n' \
        "$PORT" "$DEMO" "$DEMO" > "$DEMO/gateway.toml"
    for config in "$DEMO"/runner-*.toml; do
        [[ -f $config ]] && sed -i "s|^gateway = .*|gateway = \"127.0.0.1:$PORT\"|" "$config"
    done
    background "$DEMO/gateway.pid" "$DEMO/gateway.log" "$BIN/river-gateway" --config "$DEMO/gateway.toml"
    wait_for "the gateway listens" gateway_listens
}
gateway_listens() { ! port_is_free "$PORT"; }

# A task that waits says why, instead of a demo that only stands there.
first_task() {
    local code=0
    timeout 60 ssh -T -F "$DEMO/ssh_config" river "task run -- echo hello from a task" < /dev/null || code=$?
    [[ $code == 0 ]] && return 0
    river -n task list >&2 || true
    river -n node list >&2 || true
    die "the task did not end well within 60 s (code $code). \`ssh -F .demo/ssh_config river task why ID\` says what it waits for; or: make demo-stop, rm -rf .demo, and again"
}

river() { ssh -T -F "$DEMO/ssh_config" river "$@"; }

enrol() {
    PORT=$(cat "$DEMO/port")
    [[ -f $DEMO/id_ed25519 ]] || ssh-keygen -q -t ed25519 -N '' -C demo -f "$DEMO/id_ed25519"
    cat > "$DEMO/ssh_config" << CONFIG
# A host for each box, written by the gateway: vps-1, and its name.
Include $DEMO/boxes
Host *
  HostName 127.0.0.1
  Port $PORT
  IdentityFile $DEMO/id_ed25519
  IdentitiesOnly yes
  HostKeyAlias river-demo
  UserKnownHostsFile $DEMO/known_hosts
  StrictHostKeyChecking yes
CONFIG
    awk '{ print "river-demo " $1 " " $2 }' < <(ssh-keygen -y -f "$DEMO/gateway/host_key") > "$DEMO/known_hosts"
    if [[ -f $DEMO/gateway/invitation ]] && ! river auth status > /dev/null 2>&1 < /dev/null; then
        local login
        login=$(grep -o 'invite-[a-z0-9]*' "$DEMO/gateway/invitation" | head -1)
        river_as "$login" "${USER_NAME:-operator}" < /dev/null > "$DEMO/enrol.log"
    fi
}
river_as() { ssh -T -F "$DEMO/ssh_config" -l "$1" river "${@:2}"; }

# One Docker for one node; several have each their own, in a network namespace.
socket_of() {
    if [[ $NODES -gt 1 ]]; then echo "$DEMO/engine-$1/docker.sock"
    elif docker_answers /var/run/docker.sock; then echo /var/run/docker.sock
    else echo "$DEMO/engine-0/docker.sock"; fi
}
docker_answers() { [[ -S $1 ]] && as_root curl -s -m 5 --unix-socket "$1" http://docker/_ping > /dev/null 2>&1 || [[ -S $1 ]] && as_root env DOCKER_HOST="unix://$1" docker info > /dev/null 2>&1; }

engine_up() {
    local n=$1 dir space=()
    if [[ $NODES == 1 ]]; then
        docker_answers /var/run/docker.sock && return
        n=0
    else
        as_root ip netns list | grep -qw "river-n$n" || as_root ip netns add "river-n$n"
        as_root nsenter --net="/run/netns/river-n$n" ip link set lo up
        space=(nsenter --net="/run/netns/river-n$n")
    fi
    dir=$DEMO/engine-$n
    mkdir -p "$dir"
    if ! alive "$dir/dockerd.pid" dockerd; then
        say "starting dockerd ($dir)"
        rm -f "$dir/docker.sock" "$dir/own.pid"
        # After a crash of the machine this file names a stranger's pid; dockerd would wait for that one.
        alive "$dir/exec/containerd/containerd.pid" "$dir/exec" || rm -f "$dir/exec/containerd/containerd.pid"
        background "$dir/dockerd.pid" "$dir/dockerd.log" "${space[@]}" dockerd --data-root "$dir/data" \
            --exec-root "$dir/exec" -H "unix://$dir/docker.sock" --pidfile "$dir/own.pid"
    fi
    wait_for "dockerd answers" docker_answers "$dir/docker.sock"
}

start_runner() {
    local n=$1 config=$DEMO/runner-$1.toml
    alive "$DEMO/runner-$n.pid" river-runner && return
    cat > "$config" << CONFIG
gateway = "127.0.0.1:$(cat "$DEMO/port")"
state_dir = "$DEMO/runner-$n"
engine = "$ENGINE"
docker_socket = "$(socket_of "$n")"
guest = "$GUEST"
machine_id = "demo-$n"
open_to = "user"
CONFIG
    if [[ ! -f $DEMO/runner-$n/node_certificate ]]; then
        river -n node invite -q "node-$n" > "$DEMO/token"
        "$BIN/river-runner" --config "$config" join --token-file "$DEMO/token" >> "$DEMO/runner-$n.log" 2>&1 ||
            { rm -f "$DEMO/token"; die "node-$n could not join: see .demo/runner-$n.log"; }
        rm -f "$DEMO/token"
    fi
    background "$DEMO/runner-$n.pid" "$DEMO/runner-$n.log" "$BIN/river-runner" --config "$config"
}
node_is_ready() { river -n node list | grep -Eq "^node-$1 +ready"; }

# Mounts lie one on the other where several programs were killed.
unmount() {
    while mountpoint -q "$1" 2> /dev/null; do as_root umount -l "$1" || break; done
}

# Runners, their boxes, their engines and namespaces.
stop_runners() {
    local file dir
    for file in "$DEMO"/runner-*.pid; do
        [[ -e $file ]] && stop "$file" river-runner
    done
    # A runner that was killed leaves its mount.
    for dir in "$DEMO"/runner-*/a; do
        unmount "$dir"
    done
    # Guests of the process engine outlive their runner on purpose; here they end.
    for file in "$DEMO"/runner-*/a/*/pid; do
        [[ -e $file ]] && as_root kill "$(cut -d' ' -f1 "$file")" 2> /dev/null || true
    done
    if [[ -S /var/run/docker.sock ]] && command -v docker > /dev/null; then
        for n in $(seq 99); do
            [[ -d $DEMO/runner-$n ]] || break
            as_root docker ps -aq --filter "label=river.node=demo-$n" 2> /dev/null | xargs -r docker rm -f > /dev/null 2>&1 || true
        done
    fi
    for dir in "$DEMO"/engine-*; do
        [[ -d $dir ]] || continue
        if alive "$dir/dockerd.pid" dockerd && command -v docker > /dev/null; then
            as_root env DOCKER_HOST="unix://$dir/docker.sock" docker ps -aq 2> /dev/null |
                as_root env DOCKER_HOST="unix://$dir/docker.sock" xargs -r docker rm -f > /dev/null 2>&1 || true
        fi
        stop "$dir/dockerd.pid" dockerd
        as_root umount "$dir"/exec/netns/* 2> /dev/null || true
        # dockerd binds its data onto itself; one that was killed leaves that.
        unmount "$dir/data"
    done
    for file in /run/netns/river-n*; do
        [[ -e $file ]] && as_root ip netns delete "$(basename "$file")"
    done
    return 0
}
