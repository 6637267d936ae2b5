#!/usr/bin/env bash
# `make release`: river-VERSION-x86_64.tar.gz and river_VERSION_amd64.deb, with their checksums, in target/dist.
# --profile debug takes that build (tests do), --no-build what is built already, --out DIR another folder.
# RIVER_VERSION is another version in the names. The same programs give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

WHO=release
PROFILE=release BUILD=yes
TARGET=${CARGO_TARGET_DIR:-target}
OUT=$TARGET/dist
while [[ $# != 0 ]]; do
    case $1 in
        --profile) PROFILE=$2 && shift 2 ;;
        --out) OUT=$2 && shift 2 ;;
        --no-build) BUILD= && shift ;;
        *) die "release.sh: $1: not an option; there are --profile, --out, --no-build" ;;
    esac
done
[[ $PROFILE == release || $PROFILE == debug ]] || die "--profile is release or debug"
[[ $(uname -m) == x86_64 ]] || die "releases are made on x86_64"

# Each program: its crate, its folder below the prefix, and `static` where it must run anywhere.
PROGRAMS=(
    "river-gateway river-gateway bin"
    "river-runner river-runner bin"
    "river-guest river-tunnel lib/river static"
)
# A program of its own crate, where the tree has it.
if [[ -f forward/Cargo.toml ]]; then PROGRAMS+=("river-forward river-forward bin"); fi

VERSION=${RIVER_VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)}
TRIPLE=x86_64-unknown-linux-gnu
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
export SOURCE_DATE_EPOCH
umask 022

build_all() {
    local program crate folder static flag=()
    [[ $PROFILE == release ]] && flag=(--release)
    for entry in "${PROGRAMS[@]}"; do
        read -r program crate folder static <<< "$entry"
        if [[ $static == static ]]; then
            RUSTFLAGS='-C target-feature=+crt-static' cargo build "${flag[@]}" -p "$crate" --no-default-features \
                --bin "$program" --target $TRIPLE --target-dir "$TARGET/guest"
        else
            cargo build "${flag[@]}" -p "$crate" --bin "$program"
        fi
    done
}

# Everything below one prefix, as the archive has it.
tree() {
    local root=$1 program crate folder static
    for entry in "${PROGRAMS[@]}"; do
        read -r program crate folder static <<< "$entry"
        local from=$TARGET/$PROFILE/$program
        [[ $static == static ]] && from=$TARGET/guest/$TRIPLE/$PROFILE/$program
        [[ -x $from ]] || die "$from is missing: build it, or leave --no-build out"
        install -D -m 0755 "$from" "$root/$folder/$program"
    done
    install -D -m 0644 -t "$root/lib/systemd/system" packaging/*.service packaging/*.socket
    install -D -m 0644 packaging/river.sysusers "$root/lib/sysusers.d/river.conf"
    for page in docs/man/*; do
        install -D -m 0644 -t "$root/share/man/man${page##*.}" "$page"
    done
    install -D -m 0644 -t "$root/share/doc/river" LICENSE README.md CHANGELOG.md
    install -D -m 0644 -t "$root/share/doc/river/docs" docs/*.md
    install -D -m 0644 -t "$root/share/doc/river/docs/decisions" docs/decisions/*.md
    for name in gateway runner; do
        "$root/bin/river-$name" init config > "$WORK/$name.toml"
        install -D -m 0644 "$WORK/$name.toml" "$root/share/doc/river/examples/$name.toml"
    done
}

archive() {
    local name=river-$VERSION-x86_64
    mkdir "$WORK/archive"
    cp -a "$WORK/tree" "$WORK/archive/$name"
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw -C "$WORK/archive" \
        -cf - "$name" | gzip "$LEVEL" -n > "$OUT/$name.tar.gz"
}

# The newest symbols that the programs want of the C library: deb-symbols(5).
libc() {
    local newest
    newest=$(objdump -T "$1"/usr/bin/* | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -1)
    echo "${newest:-2.36}"
}

deb() {
    local root=$WORK/deb
    mkdir -p "$root/usr" "$root/DEBIAN"
    cp -a "$WORK/tree/." "$root/usr/"
    for name in gateway runner; do
        install -D -m 0644 "$WORK/$name.toml" "$root/etc/river/$name.toml"
        echo "/etc/river/$name.toml" >> "$root/DEBIAN/conffiles"
    done
    gzip -9n "$root"/usr/share/man/*/* "$root/usr/share/doc/river/CHANGELOG.md"
    mv "$root/usr/share/doc/river/LICENSE" "$root/usr/share/doc/river/copyright"
    install -m 0755 -t "$root/DEBIAN" packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm
    cat > "$root/DEBIAN/control" << CONTROL
Package: river
Version: $VERSION
Architecture: amd64
Maintainer: river <river@localhost>
Installed-Size: $(du -sk --apparent-size "$root/usr" | cut -f1)
Depends: libc6 (>= $(libc "$root")), libgcc-s1, passwd
Recommends: openssh-client
Suggests: docker.io | docker-ce, busybox-static
Section: net
Priority: optional
Description: SSH-native cluster gateway
 A handful of machines become one computer that is reached by plain ssh: a true queue,
 live output, boxes that stay, and nothing to install on a laptop. This package has the
 gateway, the runner of a node, and the guest of boxes; it starts none of them.
CONTROL
    find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zgzip "-z${LEVEL#-}" --build "$root" "$OUT/river_${VERSION}_amd64.deb" > /dev/null
}

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
# Debug builds are large, and for tests.
LEVEL=-9
[[ $PROFILE == debug ]] && LEVEL=-1
[[ -z $BUILD ]] || build_all
mkdir -p "$OUT"
tree "$WORK/tree"
archive
deb
(cd "$OUT" && sha256sum "river-$VERSION-x86_64.tar.gz" "river_${VERSION}_amd64.deb" > "river-$VERSION.sha256")
say "in $OUT:"
(cd "$OUT" && ls -l "river-$VERSION"* "river_$VERSION"*)
