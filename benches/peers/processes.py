"""Runs processes on chosen cores and reads from the kernel what they took."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

TICK = os.sysconf("SC_CLK_TCK")


class Missed(Exception):
    """A run that measures nothing: why."""


class Cores:
    """Which core serves and which one drives."""

    def __init__(self):
        cores = sorted(os.sched_getaffinity(0))
        self.server, self.client, self.all = str(cores[0]), str(cores[-1]), ",".join(map(str, cores))
        self.count = len(cores)
        if self.count < 2:
            print("warning: one core only: client and server share it, the figures are worth little", file=sys.stderr)


class Server:
    """The target, on a core of its own, for as long as the `with` lasts."""

    def __init__(self, program, cores):
        self.command = ["taskset", "-c", cores.server, program]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        return f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def measure(command, cores, limit, look=None):
    """Runs a command on cores: its output, and what it took.

    `look` is called about ten times a second with the process and the seconds since its start.
    """
    busy = busy_seconds(cores)
    with tempfile.TemporaryFile() as output:
        begun = time.monotonic()
        child = subprocess.Popen(
            ["taskset", "-c", cores, *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "K6_NO_USAGE_REPORT": "true", "NO_COLOR": "1"},
        )
        usage = wait(child, begun, limit, look)
        wall = time.monotonic() - begun
        output.seek(0)
        text = output.read().decode(errors="replace")
    if child.returncode != 0:
        raise Missed(f"{' '.join(command)}: exit {child.returncode}\n{text}")
    cpu = usage.ru_utime + usage.ru_stime
    others = max(busy_seconds(cores) - busy - cpu, 0.0) / wall
    return text, {"cpu_seconds": cpu, "max_rss_bytes": usage.ru_maxrss * 1024, "others": others}


def wait(child, begun, limit, look):
    """The resource usage of a child, its own children's too; it is killed where it takes too long."""
    looked = begun
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return usage
        now = time.monotonic()
        if now > begun + limit:
            child.kill()
        if look and now >= looked + 0.1:
            looked = now
            look(Process(child.pid), now - begun)
        time.sleep(0.01)


class Process:
    """What /proc says of a running process."""

    def __init__(self, pid):
        self.folder = pathlib.Path(f"/proc/{pid}")

    def cpu_seconds(self):
        """User and system, in the kernel's finest count."""
        # Of all threads; schedstat counts nanoseconds where stat counts ticks of 10 ms.
        threads = (self.folder / "task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def rss_bytes(self):
        """Resident, and of that what is not a file's pages."""
        lines = dict(line.split(":", 1) for line in (self.folder / "status").read_text().splitlines())
        return {name: int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon")}


def busy_seconds(cores):
    """How long the cores have worked, for whomever: who shares one takes cache from what is measured."""
    total = 0.0
    names = {f"cpu{core}" for core in cores.split(",")}
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *times = line.split()
        if name in names:
            user, nice, system, _, _, irq, softirq, *_ = map(int, times)
            total += (user + nice + system + irq + softirq) / TICK
    return total
