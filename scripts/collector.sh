#!/usr/bin/env bash
# Tries the OTLP receiver and the forwarder against the real OpenTelemetry Collector, built from its Go modules.
#
# Where there is no Go this is skipped, and says so: everything else is tested without.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v go >/dev/null; then
    echo 'skipped: the real OpenTelemetry Collector is built with Go, and there is none here (https://go.dev/dl)' >&2
    exit 0
fi
mkdir -p target/tools
collector=$PWD/target/tools/collector
(cd tests/collector && go build -o "$collector" .)
PACECAR_COLLECTOR=$collector cargo test --features engine --test collector -- --ignored
