#!/usr/bin/env python3
"""Compares pacecar with k6 and wrk on this machine, side by side, as ratios.

Each client is pinned to one core and the server to another. Rounds are interleaved, so that
what disturbs the machine disturbs all of them. What counts is requests per CPU-second of the
client, from the kernel's accounting of the process; what a client spends on starting and ending
(a run of one iteration) is taken off, in favour of the slow starters.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
HOLD = {"k6": 10.0, "wrk": 0.5}
HOLD_MEMORY = 48e6
CONNECTIONS = 64
VUS = 1000


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pacecar", required=True)
    parser.add_argument("--k6", required=True)
    parser.add_argument("--wrk", default="wrk")
    parser.add_argument("--server", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--only", default="pacecar,k6,wrk", help="which clients, with commas")
    parser.add_argument("--out", default="target/bench/peers.json")
    parser.add_argument("--gate", action="store_true", help="exit 1 where a figure that must hold does not")
    return parser.parse_args()


class Cores:
    """Which core serves and which one drives."""

    def __init__(self):
        cores = sorted(os.sched_getaffinity(0))
        self.server, self.client = cores[0], cores[-1]
        if len(cores) < 2:
            print("warning: one core only: client and server share it, the figures are worth little", file=sys.stderr)


def measure(command, core, limit, environment):
    """Runs a command on a core: its output, CPU seconds, peak memory in bytes and the core's share that others took."""
    with tempfile.TemporaryFile() as output:
        begun, busy = time.monotonic(), busy_seconds(core)
        child = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        usage = wait(child, begun + limit)
        wall, busy = time.monotonic() - begun, busy_seconds(core) - busy
        output.seek(0)
        text = output.read().decode(errors="replace")
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {child.returncode}\n{text}")
    cpu = usage.ru_utime + usage.ru_stime
    return text, cpu, usage.ru_maxrss * 1024, max(busy - cpu, 0.0) / wall


def busy_seconds(core):
    """How long the core has worked, for whomever: who shares it takes cache from what is measured."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _, _, irq, softirq, *_ = map(int, line.split()[1:])
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return 0.0


def wait(child, deadline):
    """The resource usage of a child, its own children's too; it is killed at the deadline."""
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return usage
        if time.monotonic() > deadline:
            child.kill()
        time.sleep(0.01)


class Client:
    """One of the programs that are compared."""

    def __init__(self, options, url, folder):
        self.options, self.url, self.folder = options, url, folder
        self.startup = 0.0

    def command(self, vus, seconds=None, iterations=None, think=None, ramp=None):
        """The command of one run, and how its requests are counted from its output."""
        raise NotImplementedError

    def run(self, core, **how):
        command, count = self.command(**how)
        environment = {**os.environ, "K6_NO_USAGE_REPORT": "true", "NO_COLOR": "1"}
        text, cpu, memory, others = measure(command, core, (how.get("seconds") or 5) + 40, environment)
        return {"requests": count(text), "cpu_seconds": cpu, "max_rss_bytes": memory, "others": others}


class Pacecar(Client):
    def command(self, vus, seconds=None, iterations=None, think=None, ramp=None):
        file = self.folder / "pacecar.json"
        command = [self.options.pacecar, "run", str(HERE / "three-step.yaml"), "-q", "--workers", "1"]
        command += ["--summary-export", str(file)] + shape(vus, seconds, iterations, ramp)
        return command + settings(self.url, think and f"{think}s"), lambda _: exported(file)


class K6(Client):
    def command(self, vus, seconds=None, iterations=None, think=None, ramp=None):
        file = self.folder / "k6.json"
        command = [self.options.k6, "run", "--quiet", "--summary-export", str(file)]
        command += shape(vus, seconds, iterations, ramp) + settings(self.url, think)
        return [*command, str(HERE / "three-step.js")], lambda _: exported(file)


class Wrk(Client):
    def command(self, vus, seconds=None, iterations=None, think=None, ramp=None):
        command = [self.options.wrk, "-t1", f"-c{vus}", f"-d{seconds}s", f"{self.url}/api/user/profile"]
        return command, lambda text: int(re.search(r"(\d+) requests in", text).group(1))


def shape(vus, seconds, iterations, ramp):
    if ramp:
        # All at once would measure the burst of their connecting, in which pacecar calls itself invalid.
        return ["-s", f"{ramp}s:{vus}", "-s", f"{seconds - ramp}s:{vus}"]
    return ["-u", str(vus)] + (["-d", f"{seconds}s"] if seconds else ["-i", str(iterations)])


def settings(url, think):
    return ["-e", f"API_URL={url}"] + (["-e", f"THINK={think}"] if think else [])


def exported(file):
    """The requests of a summary; a run whose requests fail measures nothing."""
    metrics = json.loads(file.read_text())["metrics"]
    failed = metrics["http_req_failed"]["value"]
    checks = metrics["checks"]
    if failed > 0 or checks["fails"] > 0:
        sys.exit(f"{file.name}: {failed:.2%} of the requests failed, {checks['fails']} checks did")
    return metrics["http_reqs"]["count"]


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def shown(figure, form):
    return f"{figure['median']:{form}} ({figure['min']:{form}}–{figure['max']:{form}})"


def compare(options, url, folder):
    cores = Cores()
    kinds = {"pacecar": Pacecar, "k6": K6, "wrk": Wrk}
    clients = {name: kinds[name](options, url, folder) for name in options.only.split(",")}
    for name, client in clients.items():
        if name != "wrk":
            client.startup = client.run(cores.client, vus=1, iterations=1)["cpu_seconds"]

    rates = {name: [] for name in clients}
    others = {name: [] for name in clients}
    for number in range(options.rounds):
        for name, client in clients.items():
            run = client.run(cores.client, vus=CONNECTIONS, seconds=options.seconds)
            rates[name].append(run["requests"] / max(run["cpu_seconds"] - client.startup, 1e-9))
            others[name].append(run["others"])
            rate, taken = rates[name][-1], run["others"]
            print(f"round {number + 1}: {name}: {rate:,.0f} requests per CPU-second, core {taken:.0%} others'", file=sys.stderr)

    memory = {}
    for name, client in clients.items():
        if name != "wrk":
            run = client.run(cores.client, vus=VUS, seconds=9, think=1, ramp=4)
            memory[name] = run["max_rss_bytes"]
            print(f"{name}: {memory[name] / 1e6:.0f} MB with {VUS} VUs", file=sys.stderr)

    result = {
        "connections": CONNECTIONS,
        "requests_per_cpu_second": {name: spread(values) for name, values in rates.items()},
        "core_share_of_others": {name: spread(values) for name, values in others.items()},
        "startup_cpu_seconds": {name: client.startup for name, client in clients.items()},
        "max_rss_bytes_at_1000_vus": memory,
        "ratios": {},
    }
    for peer in HOLD:
        if peer in rates and "pacecar" in rates:
            # Within a round: what slowed the machine then slowed both.
            result["ratios"][peer] = spread([ours / theirs for ours, theirs in zip(rates["pacecar"], rates[peer])])
    return result


def report(result):
    """Prints the table; the figures that must hold and do not."""
    print(f"\nrequests per CPU-second of the client, {result['connections']} connections: median (min–max)\n")
    for name, figure in result["requests_per_cpu_second"].items():
        memory = result["max_rss_bytes_at_1000_vus"].get(name)
        extra = f"   {memory / 1e6:6.0f} MB with {VUS} VUs" if memory else ""
        print(f"  {name:8} {shown(figure, ',.0f'):32}{extra}")
    missed = []
    print()
    for peer, figure in result["ratios"].items():
        ok = figure["median"] >= HOLD[peer]
        print(f"  pacecar is {shown(figure, '.2f')} × {peer}; to hold: ≥ {HOLD[peer]} ×  {'ok' if ok else 'MISSED'}")
        missed += [] if ok else [peer]
    ours = result["max_rss_bytes_at_1000_vus"].get("pacecar")
    if ours:
        ok = ours <= HOLD_MEMORY
        print(f"  pacecar takes {ours / 1e6:.0f} MB with {VUS} VUs; to hold: ≤ {HOLD_MEMORY / 1e6:.0f} MB  {'ok' if ok else 'MISSED'}")
        missed += [] if ok else ["memory"]
    return missed


def main():
    options = arguments()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    command = ["taskset", "-c", str(Cores().server), options.server]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, tempfile.TemporaryDirectory() as folder:
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            result = compare(options, url, pathlib.Path(folder))
        finally:
            server.terminate()
    out = pathlib.Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    missed = report(result)
    print(f"\nwritten to {out}")
    if options.gate and missed:
        sys.exit(f"below what must hold: {', '.join(missed)}")


if __name__ == "__main__":
    main()
