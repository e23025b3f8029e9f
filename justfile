# Short names for the daily commands. `just` lists them.

default:
    @just --list

# The main job, on the built-in simulators.
demo:
    cargo run --release -- run --simulate

# All tests.
test:
    cargo test --release --workspace

# What CI checks before the tests.
lint:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- -D warnings

# The whole of CI.
ci:
    .ci/run

# The seeded suite in its long form: SEEDS runs per source.
seeds SEEDS="1000":
    HEADWATER_SEEDS={{SEEDS}} cargo test --release --workspace --test engine seeded:: -- --nocapture

# Against real servers, which it installs. HEADWATER_KILLS=300 and HEADWATER_LONG=1 for the long form.
real:
    tests/real/run

# The tests N times in a row: which of them fail by chance? `just flaky 20 --workspace --test binary` narrows it.
flaky RUNS="20" *ARGS="":
    tests/flaky {{RUNS}} {{ARGS}}

# The long forms of everything: hours.
soak:
    HEADWATER_SEEDS=200 HEADWATER_KILLS=300 cargo test --release --workspace --locked -- --nocapture
    HEADWATER_KILLS=300 HEADWATER_LONG=1 tests/real/run

# Searches for bytes that break a promise, SECONDS per target.
fuzz SECONDS="600":
    crates/fuzz/run {{SECONDS}}

# What a committed event costs, from 10^4 to 10^7 events of history.
bench-ledger:
    cargo run --release -p headwater-ledger --example cost

# CPU time per event of the whole way, beside its unavoidable parts.
bench:
    cargo run --release -p headwater-bench

# Licences, advisories, sources of all dependencies.
deny:
    cargo deny check
