#!/usr/bin/env bash
# `make upgrade REV=COMMIT`: builds that commit (the one before this, if none is named) into target/upgrade, once, and runs it
# together with this tree: both ways, one after the other under living boxes and tasks, and in place under load.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

WHO=upgrade
TARGET=${CARGO_TARGET_DIR:-$PWD/target}
REV=$(git rev-parse --short "${1:-HEAD^}")
DIR=$TARGET/upgrade/$REV
TRIPLE=x86_64-unknown-linux-gnu

# Of the tree in the present folder, into this target.
build_into() {
    cargo build -q -p river-gateway -p river-runner --bins --target-dir "$1"
    RUSTFLAGS='-C target-feature=+crt-static' cargo build -q -p river-tunnel --no-default-features --bin river-guest \
        --target $TRIPLE --target-dir "$1/guest"
}

if [[ ! -x $DIR/bin/river-guest ]]; then
    say "building $REV into $DIR, once"
    mkdir -p "$DIR/src" "$DIR/bin"
    git archive "$REV" | tar x -C "$DIR/src"
    (cd "$DIR/src" && build_into "$DIR/target")
    cp "$DIR/target/debug/river-gateway" "$DIR/target/debug/river-runner" "$DIR/target/guest/$TRIPLE/debug/river-guest" "$DIR/bin/"
fi
build_into "$TARGET"
cargo build -q -p river-tests --bin upgrade
scripts/with-docker.sh "$TARGET/debug/upgrade" "$DIR/bin"
