#!/usr/bin/env bash
# Renders deploy/ with the real kustomize and Helm and holds the objects against Kubernetes' own schemas, Pod Security
# "restricted" and what the manifests promise. Go builds the tools (skipped where there is no Go); all of it is kept
# under target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v go >/dev/null; then
    echo "deploy: skipped: there is no Go to build kustomize and Helm with" >&2
    exit 0
fi

tools=$PWD/target/tools
kustomize=$tools/go/kustomize-5.7.1 helm=$tools/go/helm-3.18.6

# tool FILE MODULE
tool() {
    [ -x "$1" ] && return 0
    echo "deploy: building $2" >&2
    mkdir -p "$tools/go/build"
    GOFLAGS=-modcacherw GOBIN=$tools/go/build go install "$2"
    mv "$tools/go/build/$(basename "${2%%@*}" | sed 's/^v5$/kustomize/')" "$1"
}
tool "$kustomize" sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
tool "$helm" helm.sh/helm/v3/cmd/helm@v3.18.6

python=$tools/manifests/bin/python
if ! [ -x "$tools/manifests/bin/kubernetes-validate" ]; then
    python3 -m venv "$tools/manifests"
    "$python" -m pip install --quiet --disable-pip-version-check 'kubernetes-validate==1.37.0'
fi

rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
for folder in base staging load-job standalone; do
    "$kustomize" build "deploy/$folder" >"$rendered/kustomize-$folder.yaml"
done
"$helm" lint --quiet deploy/chart
"$helm" template canary deploy/chart >"$rendered/helm-default.yaml"
"$helm" template load deploy/chart --set canary.enabled=false,loadJob.enabled=true,serviceMonitor.enabled=true \
    --set-string env.RATE=2 --set-file plan=config/soak.yaml >"$rendered/helm-load.yaml"
if "$helm" template wrong deploy/chart --set canary.enabld=true >/dev/null 2>&1; then
    echo "deploy: the chart takes a value that it does not know" >&2
    exit 1
fi

"$tools/manifests/bin/kubernetes-validate" --strict --quiet --no-warn -k 1.33 "$rendered"/*.yaml
"$python" scripts/manifests.py "$rendered"/*.yaml

if command -v systemd-analyze >/dev/null; then
    systemd-analyze security --offline=true --threshold=50 deploy/systemd/pacecar-canary.service >/dev/null
    echo "deploy: the unit's exposure is below 5.0"
fi
if command -v promtool >/dev/null; then promtool check config deploy/compose/prometheus.yml >/dev/null; fi
echo "deploy: all passed"
