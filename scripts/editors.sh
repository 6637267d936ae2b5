#!/usr/bin/env bash
# Makes a real code-server of npm's packages, for the tests of editors: once, in a cache outside the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
# The last line that Node.js 20 can run; later ones want 22.
VERSION=4.100.3
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/river/code-server
DONE=$CACHE/$VERSION.built

packages=()
[[ -x /usr/bin/chromium ]] || packages+=(chromium)
[[ -e $DONE || -e /usr/include/gssapi/gssapi.h ]] || packages+=(libkrb5-dev)
if [[ ${#packages[@]} != 0 ]]; then
    say "installing ${packages[*]}"
    apt_install "${packages[@]}" > /dev/null || die "the tests of editors need these packages: ${packages[*]}"
fi
[[ -e $DONE ]] && exit 0

command -v node > /dev/null && command -v npm > /dev/null || die "the tests of editors need node and npm"
say "building code-server $VERSION, once, some minutes"
log=$CACHE/build.log
mkdir -p "$CACHE/tree"
quietly() { "$@" >> "$log" 2>&1 || die "code-server cannot be built: see $log"; }
cd "$CACHE/tree"
# Its post-install scripts download; what they would build is built below.
fetch() { quietly npm install --ignore-scripts --no-audit --no-fund --loglevel=error "$@"; }
fetch "code-server@$VERSION" ws@8.18.0 playwright-core@1.64.1
server=$CACHE/tree/node_modules/code-server
for dir in lib/vscode lib/vscode/extensions; do
    (cd "$server/$dir" && fetch --omit=dev)
done
gyp=$(dirname "$(readlink -f "$(command -v npm)")")/../node_modules/node-gyp/bin/node-gyp.js
headers=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
build() {
    # Each version has its own set of them.
    [[ -d $1 ]] || return 0
    (cd "$1" && shift && quietly node "$gyp" rebuild --nodedir="$headers" "$@")
}
for module in node-pty @vscode/spdlog native-watchdog @parcel/watcher kerberos; do
    build "$server/lib/vscode/node_modules/$module"
done
argon2=$CACHE/tree/node_modules/argon2
build "$argon2" --napi_version=3 --module_name=argon2 --module_path="$argon2/lib/binding/napi-v3"
touch "$DONE"
