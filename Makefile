# The project's commands. `make demo` shows what it does, `make test` proves it.
SERVERS := target/servers/bin
# Tests and lints build with the planted mistakes in (tests/planted.rs), so that everything is built once. They are made
# only if HEADRACE_PLANTED asks for one.
PLANTED := --features headrace/planted

.PHONY: demo test soak check interop interop-full bench bench-row servers

# One row, inserted, updated and deleted in MariaDB, followed into the topic, Redis and the search index.
demo:
	scripts/prerequisites.sh
	scripts/servers.sh mariadb redis
	cargo build
	target/debug/headrace demo --mariadbd $(SERVERS)/mariadbd --redis-server $(SERVERS)/redis-server

# Every test. They start private servers of their own.
test:
	scripts/prerequisites.sh
	scripts/servers.sh mariadb redis mysql
	cargo test --workspace $(PLANTED)

# The proofs of the storage engine (storage/tests/proofs) at length: so many times what `make test` tries of each.
# Then damaged frames against the broker: a million of them.
SOAK := 20
MUTATED_FRAMES := 1000000
soak:
	scripts/prerequisites.sh
	HEADRACE_SOAK=$(SOAK) cargo test -p headrace-storage --features planted --test proofs --test compaction -- --nocapture
	HEADRACE_MUTATED_FRAMES=$(MUTATED_FRAMES) cargo test -p headrace-broker --test wire mutated -- --nocapture

# Format, lints, and the rules of the house.
check:
	scripts/prerequisites.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(PLANTED) -- -D warnings
	cargo test --workspace $(PLANTED) --test tidy

# Foreign clients against the real binary, each suite with a broker of its own: the quick ones, then every one. Both write the
# table of docs/compatibility.md. One suite: `tests/interop/run NAME`; what there is: `tests/interop/run --list`.
interop:
	scripts/prerequisites.sh maven python node go
	scripts/servers.sh kcat
	cargo test --workspace $(PLANTED) --no-run
	tests/interop/run

interop-full:
	scripts/prerequisites.sh maven python node go
	scripts/servers.sh kcat mariadb
	cargo test --workspace $(PLANTED) --no-run
	tests/interop/run --full

# Measured on this machine; results in benches/RESULTS.md. First the broker beside a do-nothing broker and Kafka (`make
# bench-row ROW=produce-1` for one row of that table), then the whole path: rows per second, CPU, memory, time to visible; then
# the storage engine beside the bare calls.
bench: bench-row
	scripts/servers.sh mariadb redis
	cargo run --release -p headrace-benches --bin path
	cargo bench -p headrace-benches

ROW :=
bench-row:
	scripts/prerequisites.sh maven
	scripts/kafka.sh
	cargo build --release
	cargo build --release -p headrace-benches --bins
	target/release/load $(ROW)

# The database servers and kcat, unpacked below target/servers.
servers:
	scripts/servers.sh
