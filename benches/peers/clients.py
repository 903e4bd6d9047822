"""The programs that are compared: how each is asked for a run, and how its requests are counted."""

import json
import pathlib
import re
import shutil

import processes
from processes import Missed

HERE = pathlib.Path(__file__).resolve().parent


class Client:
    """One of the programs that are compared."""

    name = ""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        # What it spends on starting and ending: taken off, in favour of the slow starters.
        self.startup = 0.0

    def there(self):
        return self.program and shutil.which(self.program)

    def run(self, command, count, cores, limit, look=None):
        text, run = processes.measure(command, cores, limit + 40, look)
        run["requests"] = count(text)
        run["rate"] = run["requests"] / max(run["cpu_seconds"] - self.startup, 1e-9)
        return run


class Pacecar(Client):
    name = "pacecar"

    def plan(self, file, url, arguments, workers=1, **variables):
        """The command for a plan of this folder, and how its requests are counted."""
        export = self.folder / "pacecar.json"
        command = [self.program, "run", str(HERE / file), "-q", "--summary-export", str(export), *arguments]
        command += ["--workers", str(workers)] if workers else []
        for name, value in {"API_URL": url, **variables}.items():
            command += ["-e", f"{name}={value}"]
        return command, lambda _: exported(export)

    def closed(self, url, vus, seconds, workers=1):
        return self.plan("three-step.yaml", url, ["-u", str(vus), "-d", f"{seconds}s"], workers)

    def once(self, url):
        return self.plan("three-step.yaml", url, ["-u", "1", "-i", "1"])

    def thinking(self, url, vus, ramp, seconds):
        return self.plan("three-step.yaml", url, stages(vus, ramp, seconds), THINK="1s")

    def paced(self, url, rate, seconds, workers=1):
        return self.plan("paced.yaml", url, [], workers, RATE=rate, DURATION=f"{seconds}s")


class K6(Client):
    name = "k6"

    def script(self, url, arguments, **variables):
        export = self.folder / "k6.json"
        command = [self.program, "run", "--quiet", "--summary-export", str(export), *arguments]
        for name, value in {"API_URL": url, **variables}.items():
            command += ["-e", f"{name}={value}"]
        return [*command, str(HERE / "three-step.js")], lambda _: exported(export)

    def closed(self, url, vus, seconds):
        return self.script(url, ["-u", str(vus), "-d", f"{seconds}s"])

    def once(self, url):
        return self.script(url, ["-u", "1", "-i", "1"])

    def thinking(self, url, vus, ramp, seconds):
        return self.script(url, stages(vus, ramp, seconds), THINK="1")


class Wrk(Client):
    name = "wrk"

    def closed(self, url, vus, seconds):
        command = [self.program, "-t1", f"-c{vus}", f"-d{seconds}s", f"{url}/api/user/profile"]
        return command, lambda text: int(re.search(r"(\d+) requests in", text).group(1))


class Oha(Client):
    name = "oha"

    def paced(self, url, rate, seconds):
        command = [self.program, "--no-tui", "--output-format", "json", "--latency-correction", "-c", "64"]
        command += ["-q", str(rate), "-z", f"{seconds}s", f"{url}/api/user/profile"]
        return command, answered


def stages(vus, ramp, seconds):
    # All at once would measure the burst of their connecting, in which pacecar calls itself invalid.
    return ["-s", f"{ramp}s:{vus}", "-s", f"{seconds - ramp}s:{vus}"]


def exported(file):
    """The requests of a summary; a run whose requests fail measures nothing."""
    metrics = json.loads(file.read_text())["metrics"]
    failed = metrics["http_req_failed"]["value"]
    fails = metrics["checks"]["fails"]
    if failed > 0 or fails > 0:
        raise Missed(f"{file.name}: {failed:.2%} of the requests failed, {fails} checks did")
    return metrics["http_reqs"]["count"]


def answered(text):
    """The answers with status 200 that oha counts. Those cut off at the end are its errors."""
    return json.loads(text)["statusCodeDistribution"]["200"]
