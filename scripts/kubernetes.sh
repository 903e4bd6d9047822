#!/usr/bin/env bash
# Tunes a Deployment in a real kube-apiserver, built from its Go module, on Debian's etcd.
#
# Where there is no Go this is skipped, and says so: `make test` holds the same against recorded answers. The first build
# takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v go >/dev/null; then
    echo 'skipped: the real kube-apiserver is built with Go, and there is none here (https://go.dev/dl)' >&2
    exit 0
fi
scripts/ensure.sh etcd curl openssl
mkdir -p target/tools
apiserver=$PWD/target/tools/kube-apiserver
(cd tests/kubernetes && CGO_ENABLED=0 go build -ldflags='-s -w' -o "$apiserver" .)
PACECAR_KUBE_APISERVER=$apiserver cargo test -p pacecar-sidecar --test e2e -- --ignored --nocapture real_kubernetes
