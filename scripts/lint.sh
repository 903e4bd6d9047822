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
    # Without pacecar itself, and each crate once.
    count=$(cargo tree --locked -p pacecar -e normal --prefix none | sed 's/ (\*)$//' | sort -u | grep -vc '^pacecar v')
    echo "pacecar with default features: $count external crates (at most $MOST_CRATES)"
    [ "$count" -le "$MOST_CRATES" ]
}

# What an embedding API can ask for, one at a time; `engine` alone is what the tests build least often.
each_feature_alone() {
    local feature
    for feature in limit auth deadpool-postgres runtime engine; do
        echo "feature $feature alone"
        cargo clippy --quiet --locked -p pacecar --no-default-features --features "$feature" -- -D warnings
    done
}

# With default features an API gains no runtime, no server, no serializer and no TLS.
light_crates() {
    local heavy
    heavy=$(cargo tree --locked -p pacecar --no-default-features -e normal --prefix none |
        grep -E '^(tokio|hyper|hyper-util|tonic|serde|serde_json|rustls|ring|openssl|native-tls|opentelemetry) v' || true)
    if [ -n "$heavy" ]; then
        printf 'default features bring what is heavy:\n%s\n' "$heavy"
        return 1
    fi
}

scripts_parse() {
    local script
    for script in scripts/*.sh benches/peers/*.sh .ci/run; do bash -n "$script"; done
}

stage components
stage scripts_parse
stage cargo fmt --all --check
stage few_crates
stage light_crates
stage unused_dependencies
stage cargo clippy --workspace --all-targets --all-features -- -D warnings
stage cargo clippy -p pacecar --no-default-features -- -D warnings
stage each_feature_alone
RUSTDOCFLAGS='-D warnings' stage cargo doc --workspace --all-features --no-deps
