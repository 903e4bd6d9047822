#!/usr/bin/env python3
"""How late pacecar starts what is due at 1,000 a second: lag p50, p99 and max, several runs, beside how busy the machine was."""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

PLAN = """\
name: lag
base_url: {target}
workflow: [{{ name: home, request: GET / }}]
scenarios: {{ main: {{ executor: constant-arrival-rate, rate: {rate}, duration: {seconds}s, preAllocatedVUs: 200 }} }}
"""


def stolen():
    """Jiffies that this machine's CPUs gave to anybody, idle left out."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(fields) - fields[3] - fields[4]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pacecar", required=True, type=pathlib.Path)
    options.add_argument("--server", required=True, type=pathlib.Path)
    options.add_argument("--rate", type=int, default=1000)
    options.add_argument("--seconds", type=int, default=5)
    options.add_argument("--rounds", type=int, default=3)
    options = options.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    pin = lambda core: ["taskset", "-c", str(core)]
    server = subprocess.Popen([*pin(cores[-1]), options.server], stdout=subprocess.PIPE, text=True)
    try:
        target = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "plan.yaml").write_text(PLAN.format(target=target, rate=options.rate, seconds=options.seconds))
            print(f"{options.rate}/s for {options.seconds} s   lag: med      p(99)        max   within   code   machine busy")
            for _ in range(options.rounds):
                before = stolen()
                command = [*pin(cores[0]), options.pacecar.absolute(), "run", "-q", "plan.yaml",
                           "--summary-export", "summary.json"]
                ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
                busy = (stolen() - before) / os.sysconf("SC_CLK_TCK") / options.seconds
                fidelity = json.loads((folder / "summary.json").read_text())["pacecar"]["fidelity"]
                lag = fidelity["lag_ms"]
                within = fidelity.get("arrivals", {}).get("main", {}).get("within_ms")
                print(f"{lag['med']:>24.3f} ms {lag['p(99)']:>7.3f} ms {lag['max']:>7.3f} ms "
                      f"{within if within is None else round(within, 3)!s:>6}  {ended.returncode:>5}   "
                      f"{busy:.1f} of {len(cores)} cores", flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
