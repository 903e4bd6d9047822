#!/usr/bin/env python3
"""The same scenarios through k6 and pacecar: do they start, drop and make as much?

One JSON is k6's `options.scenarios` and pacecar's `scenarios:` alike, for pacecar reads k6's names. What is compared are
counts, not speed: iterations, drops, VUs at most. Where a schedule fixes a count it must be equal, but for the one arrival
that is due at the very end of a rate: k6 starts it or not, as two timers of it race. Where answers decide (how many
iterations fit into a time) it may differ by the tolerance that stands with the case.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

# Name, scenario, and by which share iterations may differ: 0 where the schedule alone decides. A VU thinks for 100 ms.
CASES = [
    ("shared-iterations", {"vus": 5, "iterations": 42}, 0),
    ("shared-iterations", {"vus": 2, "iterations": 1000, "maxDuration": "2s"}, 0.05),
    ("per-vu-iterations", {"vus": 4, "iterations": 7}, 0),
    ("per-vu-iterations", {"vus": 3, "iterations": 100, "maxDuration": "2s"}, 0.05),
    ("constant-vus", {"vus": 6, "duration": "3s"}, 0.05),
    ("ramping-vus", {"startVUs": 1, "stages": [{"duration": "2s", "target": 10}, {"duration": "1s", "target": 0}]}, 0.08),
    ("ramping-vus", {"startVUs": 0, "stages": [{"duration": "0s", "target": 8}, {"duration": "2s", "target": 8}]}, 0.05),
    ("constant-arrival-rate", {"rate": 50, "duration": "3s", "preAllocatedVUs": 20}, 0),
    ("constant-arrival-rate", {"rate": 90, "timeUnit": "1m", "duration": "4s", "preAllocatedVUs": 5}, 0),
    ("constant-arrival-rate", {"rate": 60, "duration": "3s", "preAllocatedVUs": 2, "maxVUs": 2}, 0.08),
    ("ramping-arrival-rate", {"startRate": 10, "preAllocatedVUs": 30,
                              "stages": [{"duration": "2s", "target": 60}, {"duration": "0s", "target": 20},
                                         {"duration": "2s", "target": 0}]}, 0),
    ("externally-controlled", {"vus": 3, "maxVUs": 5, "duration": "3s"}, 0.05),
]

SCRIPT = """
import http from 'k6/http';
import { sleep } from 'k6';
export const options = JSON.parse(open('./options.json'));
export default function () { http.get(__ENV.TARGET + '/'); sleep(0.1); }
"""


def counts(command, folder):
    """Runs one of them and reads its summary."""
    summary = folder / "summary.json"
    ended = subprocess.run([*command, "--summary-export", str(summary)], cwd=folder, capture_output=True, text=True,
                           timeout=120)
    if not summary.exists():
        return None, (ended.stderr or ended.stdout).strip().splitlines()[-1:]
    metrics = json.loads(summary.read_text())["metrics"]
    summary.unlink()
    count = lambda name, key: metrics.get(name, {}).get(key, 0)
    return {"iterations": count("iterations", "count"), "dropped": count("dropped_iterations", "count"),
            "vus_max": count("vus_max", "max")}, None


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ["k6", "pacecar", "server"]:
        options.add_argument(f"--{name}", required=True, type=pathlib.Path)
    options = options.parse_args()
    server = subprocess.Popen([options.server], stdout=subprocess.PIPE, text=True)
    failed = 0
    try:
        target = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        print(f"{'executor':<24}{'k6: iterations dropped vus_max':>34}{'pacecar: the same':>28}")
        for executor, keys, tolerance in CASES:
            scenarios = {"main": {"executor": executor, **keys}}
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                (folder / "options.json").write_text(json.dumps({"scenarios": scenarios}))
                (folder / "script.js").write_text(SCRIPT)
                plan = {"name": "counts", "base_url": target, "scenarios": scenarios,
                        "workflow": [{"name": "home", "request": "GET /", "think": "100ms"}]}
                (folder / "plan.yaml").write_text(json.dumps(plan))
                k6, why = counts([options.k6.absolute(), "run", "-q", "--address", "", "-e", f"TARGET={target}",
                                  "script.js"], folder)
                ours, not_ours = counts([options.pacecar.absolute(), "run", "-q", "plan.yaml"], folder)
            if k6 is None or ours is None:
                print(f"{executor:<24}  not compared: {why or not_ours}")
                failed += k6 is None or "not yet" not in str(not_ours)
                continue
            # What both start and drop together is the schedule's, or the number of iterations asked for.
            whole = lambda it: it["iterations"] + it["dropped"]
            last = 1 if "arrival-rate" in executor else 0
            near = lambda of: abs(of(k6) - of(ours)) <= max(tolerance * of(k6), last)
            # k6 samples VUs each second: a run shorter than that has none.
            vus = k6["vus_max"] in (0, ours["vus_max"])
            same = vus and near(whole) and near(lambda it: it["iterations"])
            failed += not same
            show = lambda it: f"{it['iterations']:>8}{it['dropped']:>8}{it['vus_max']:>8}"
            print(f"{executor:<24}{show(k6):>34}{show(ours):>28}  {'same' if same else 'DIFFERENT'}", flush=True)
    finally:
        server.terminate()
        server.wait()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
