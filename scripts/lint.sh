#!/usr/bin/env bash
# Everything that is checked without running the tests. Stops at the first stage that says no.
#
# Warnings are denied through clippy's and rustdoc's own flags, never through RUSTFLAGS:
# that would build every dependency a second time for `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."

MACHETE=0.9.1
# What an API gains that embeds the library with default features.
MOST_CRATES=25

stage() {
    printf '\n== %s\n' "$*" >&2
    SECONDS=0
    "$@"
    printf '== %s: %s s\n' "$1${2:+ $2}" "$SECONDS" >&2
}

components() {
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return 0
    command -v rustup >/dev/null || {
        echo 'rustfmt or clippy is missing, and there is no rustup to install it with' >&2
        return 1
    }
    rustup component add rustfmt clippy
}

unused_dependencies() {
    local machete=target/tools/bin/cargo-machete
    if [ "$("$machete" --version 2>/dev/null)" != "$MACHETE" ]; then
        # Unoptimised on purpose: it builds in a third of the time, and there is little to read.
        # A target directory of its own, because the installer builds with other features.
        cargo install --quiet --locked --debug --force --root target/tools --target-dir target/tools/build \
            cargo-machete --version "$MACHETE"
        rm -rf target/tools/build
    fi
    # With metadata: a package and its library may have different names.
    "$machete" --with-metadata .
}

few_crates() {
    local count
    count=$(cargo tree --locked -p pacecar --no-default-features -e normal --prefix none | sort -u | wc -l)
    echo "pacecar with default features: $count crates (at most $MOST_CRATES)"
    [ "$count" -le "$MOST_CRATES" ]
}

scripts_parse() {
    local script
    for script in scripts/*.sh benches/peers/*.sh .ci/run; do bash -n "$script"; done
}

stage components
stage scripts_parse
stage cargo fmt --all --check
stage few_crates
stage unused_dependencies
stage cargo clippy --workspace --all-targets --all-features -- -D warnings
stage cargo clippy -p pacecar --no-default-features -- -D warnings
RUSTDOCFLAGS='-D warnings' stage cargo doc --workspace --all-features --no-deps
