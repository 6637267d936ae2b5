# The only commands a person needs.
.PHONY: demo demo-stop test check e2e bench chaos fuzz guest load release sim upgrade
ENGINE ?=
NODES ?= 1
export ENGINE NODES
STATIC = RUSTFLAGS='-C target-feature=+crt-static' cargo build -p river-tunnel --no-default-features \
	--bin river-guest --target x86_64-unknown-linux-gnu --target-dir target/guest

# A gateway, runners, and a task by plain ssh, on this machine.
demo:
	scripts/demo.sh
demo-stop:
	scripts/demo-stop.sh

# Exactly what CI runs.
test: check e2e
check: guest
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo check --manifest-path fuzz/Cargo.toml --target-dir target/fuzz/check
	scripts/with-docker.sh cargo test --workspace --exclude river-tests
	cargo test -p river-tests --test tidy --test scenarios --test sim --test datapath --test versions
	cargo build --workspace --bins
	cargo test -p river-tests --test door -- --test-threads=2
e2e: guest
	scripts/clients.sh
	scripts/editors.sh
	scripts/peers.sh
	cargo build --workspace --bins
	scripts/with-docker.sh cargo test -p river-tests --test e2e -- --test-threads=2
	cargo build -p river-tests --bin river-chaos
	scripts/chaos.sh --small

# All faults, with their bars: make chaos ROW=F9 SEED=7
chaos: guest
	cargo build --workspace --bins
	scripts/chaos.sh --seed $(or $(SEED),1) $(ROW)

# The simulation at length: make sim SEEDS=10000
sim:
	SEEDS=$(or $(SEEDS),10000) cargo test --release -p river-tests --test sim

# Ratios against what one would use instead, all in one run.
bench:
	scripts/peers.sh
	$(STATIC) --release
	cargo build --release -p river-gateway -p river-runner --bins
	cargo build -p river-tests --bin bench
	rustc --edition 2024 -O -C target-feature=+crt-static --target x86_64-unknown-linux-gnu -o target/far-end tests/bench/far_end.rs
	scripts/with-docker.sh target/debug/bench $(ONLY)

# What a gateway carries, beside sshd: all rows of tests/load/, or ONLY='L1 L5'.
load:
	scripts/peers.sh
	cargo build --release -p river-gateway --bins
	cargo build -p river-tests --bin river-load
	target/debug/river-load $(ONLY)

# Each fuzz target for SECONDS_EACH (60); TARGET=sftp for one. Needs a nightly compiler and cargo-fuzz.
fuzz:
	scripts/fuzz.sh $(TARGET)

# An archive and a .deb, in target/dist.
release:
	scripts/release.sh

# This tree and an older one, together: make upgrade REV=COMMIT
upgrade:
	scripts/upgrade.sh $(REV)

# The guest is static: it runs in any image.
guest:
	$(STATIC)
