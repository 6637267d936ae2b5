#!/usr/bin/env bash
# Runs each fuzz target of fuzz/ for SECONDS_EACH (60), or those that are named, and names what it finds.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
each=${SECONDS_EACH:-60}
cargo +nightly --version > /dev/null 2>&1 || die "fuzzing needs a nightly compiler: rustup toolchain install nightly"
cargo fuzz --version > /dev/null 2>&1 || die "fuzzing needs cargo-fuzz: cargo install cargo-fuzz"
dir=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
targets=("$@")
[[ ${#targets[@]} != 0 ]] || mapfile -t targets < <(cargo fuzz list)
found=()
for target in "${targets[@]}"; do
    mkdir -p "$dir/corpus/$target"
    say "$target for $each s"
    # What it learns is kept beside the build; the seeds are in the checkout.
    cargo +nightly fuzz run --target-dir "$dir/build" "$target" "$dir/corpus/$target" "fuzz/seeds/$target" \
        -- -max_total_time="$each" -max_len=65536 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        2> "$dir/$target.log" || found+=("$target")
    grep -E 'stat::number_of_executed_units|panicked at|SUMMARY' "$dir/$target.log" | sed 's/^/  /' || true
done
for target in "${found[@]}"; do
    say "$target: found something; $dir/$target.log says what, fuzz/artifacts/$target has the input"
done
[[ ${#found[@]} == 0 ]]
