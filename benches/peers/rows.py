"""The rows of what must hold: how each is measured, and what holds."""

import statistics
import sys

from clients import K6, Oha, Pacecar, Wrk
from processes import Missed, Server

CONNECTIONS = 64
VUS = 1000
LOW = 10


class Bench:
    """What all rows share: the clients that are there, the cores, how long is measured."""

    def __init__(self, options, cores, folder):
        self.options, self.cores = options, cores
        chosen = options.only.split(",")
        self.clients = {}
        for kind in (Pacecar, K6, Wrk, Oha):
            client = kind(getattr(options, kind.name), folder)
            if kind.name not in chosen:
                continue
            if client.there():
                self.clients[kind.name] = client
            else:
                print(f"{kind.name} is not there: its rows are left out", file=sys.stderr)
        with self.server() as url:
            for client in self.having("once"):
                client.startup = self.drive(client, client.once(url), 5)["cpu_seconds"]

    def server(self):
        return Server(self.options.server, self.cores)

    def having(self, how):
        return [client for client in self.clients.values() if hasattr(client, how)]

    def drive(self, client, asked, limit, cores=None, look=None):
        command, count = asked
        return client.run(command, count, cores or self.cores.client, limit, look)

    def rounds(self, what, asks):
        """Rates of several runs, interleaved, so that what disturbs the machine disturbs all of them.

        A round in which one of them measures nothing (a starved generator calls itself invalid) is left out whole.
        """
        rates = {name: [] for name in asks}
        others = {name: [] for name in asks}
        for number in range(1, self.options.rounds + 1):
            try:
                runs = {name: self.one(f"{what} {number}: {name}", *ask) for name, ask in asks.items()}
            except Missed as why:
                print(f"{what} {number}: left out: {why}", file=sys.stderr)
                continue
            for name, run in runs.items():
                rates[name].append(run["rate"])
                others[name].append(run["others"])
        if not any(rates.values()):
            raise Missed("no round in which all runs were valid: the machine is too busy")
        return rates, others

    def one(self, what, client, ask, cores):
        with self.server() as url:
            run = self.drive(client, ask(url), self.options.seconds, cores)
        print(f"{what}: {run['rate']:,.0f} requests per CPU-second, core {run['others']:.0%} others'", file=sys.stderr)
        return run


class Row:
    """One figure with what must hold. `least`: whether more is better."""

    def __init__(self, name, values, unit, hold, aim, least=True, note=""):
        self.name, self.unit, self.hold, self.aim, self.least, self.note = name, unit, hold, aim, least, note
        self.figure = {"median": statistics.median(values), "min": min(values), "max": max(values)}

    def reaches(self, bound):
        value = self.figure["median"]
        return value >= bound if self.least else value <= bound

    @property
    def holds(self):
        return self.reaches(self.hold)

    def data(self):
        return {"name": self.name, "unit": self.unit, **self.figure, "hold": self.hold, "aim": self.aim, "holds": self.holds}

    def __str__(self):
        figure, sign = self.figure, "≥" if self.least else "≤"
        spread = f" ({figure['min']:.3g}–{figure['max']:.3g})" if figure["min"] != figure["max"] else ""
        word = "aim reached" if self.reaches(self.aim) else "holds" if self.holds else "MISSED"
        text = f"  {self.name:46} {figure['median']:.3g}{spread} {self.unit}; hold {sign} {self.hold:g}, aim {sign} {self.aim:g}: {word}"
        return text + (f"\n      {self.note}" if self.note else "")


def ratio(ours, theirs):
    """Within a round: what slowed the machine then slowed both."""
    return [a / b for a, b in zip(ours, theirs)]


def closed(bench):
    """As fast as it goes, against the peers."""
    seconds, mine = bench.options.seconds, bench.clients["pacecar"]
    ask = lambda client: (client, lambda url: client.closed(url, CONNECTIONS, seconds), None)
    rates, others = bench.rounds("closed", {client.name: ask(client) for client in bench.having("closed")})
    rows = []
    for peer, hold, aim in (("k6", 10, 20), ("wrk", 0.5, 0.75)):
        if peer in rates:
            values = ratio(rates["pacecar"], rates[peer])
            rows.append(Row(f"3-step workflow, closed, against {peer}", values, "×", hold, aim))
    return rows, {"closed": {"rates": rates, "others": others, "startup_cpu_seconds": mine.startup}}


def paced(bench):
    """At a rate, both clocks: against oha, which is paced too, and wrk, which is not."""
    options, asks = bench.options, {}
    for client in bench.having("paced"):
        asks[client.name] = (client, lambda url, client=client: client.paced(url, options.rate, options.seconds), None)
    if wrk := bench.clients.get("wrk"):
        asks["wrk"] = (wrk, lambda url: wrk.closed(url, CONNECTIONS, options.seconds), None)
    rates, others = bench.rounds("paced", asks)
    rows = []
    if "wrk" in rates:
        values = ratio(rates["pacecar"], rates["wrk"])
        rows.append(Row(f"paced at {options.rate:,}/s, both clocks, against wrk", values, "×", 0.4, 0.65))
    if "oha" in rates:
        values = ratio(rates["pacecar"], rates["oha"])
        rows.append(Row("the same against oha paced with correction", values, "×", 1.5, 1.5))
    return rows, {"paced": {"rate": options.rate, "rates": rates, "others": others}}


def memory(bench):
    """The peak with many VUs that think for a second; they come within four seconds."""
    peaks = {}
    for client in bench.having("thinking"):
        with bench.server() as url:
            run = bench.drive(client, client.thinking(url, VUS, 4, 9), 9)
        peaks[client.name] = run["max_rss_bytes"] / 1e6
    note = f"k6: {peaks['k6']:.0f} MB" if "k6" in peaks else ""
    row = Row(f"memory with {VUS:,} VUs", [peaks["pacecar"]], "MB", 48, 36, least=False, note=note)
    return [row], {"max_rss_mb_at_1000_vus": peaks}


def low(bench):
    """A rate at which it mostly sleeps: CPU from its second second on, memory at its peak."""
    mine, seconds = bench.clients["pacecar"], bench.options.low_seconds
    seen = []

    def look(process, at):
        if at >= 1:
            try:
                seen.append((at, process.cpu_seconds(), process.rss_bytes()))
            except (OSError, KeyError, ValueError):
                pass  # It has just ended.

    with bench.server() as url:
        run = bench.drive(mine, mine.paced(url, LOW, seconds, workers=None), seconds, look=look)
    seen = [sample for sample in seen if sample[0] <= seconds]
    (first, before, _), (last, after, rss) = seen[0], seen[-1]
    share = (after - before) / (last - first) * 100
    peak = run["max_rss_bytes"] / 1e6
    own = f"of it {rss['RssAnon'] / 1e6:.1f} MB its own, the rest pages of the program's file"
    rows = [
        Row(f"{LOW} requests/s: memory", [peak], "MB", 20, 10, least=False, note=own),
        Row(f"{LOW} requests/s: CPU", [share], "% of a core", 0.5, 0.2, least=False),
    ]
    return rows, {"low_rate": {"max_rss_mb": peak, "anonymous_mb": rss["RssAnon"] / 1e6, "core_percent": share}}


def growth(bench):
    """Whether memory grows at a constant rate: the peak of its own in one span of time and in the next.

    Its timelines have 300 bins, which are full after 40 s and then join two by two: so the spans are those.
    """
    mine, (middle, end) = bench.clients["pacecar"], bench.options.growth
    seen = []

    def look(process, at):
        try:
            seen.append((at, process.rss_bytes()["RssAnon"] / 1e6))
        except (OSError, KeyError, ValueError):
            pass  # It has just ended.

    with bench.server() as url:
        bench.drive(mine, mine.paced(url, 500, end), end, look=look)
    early = max(rss for at, rss in seen if at <= middle)
    late = max(rss for at, rss in seen if middle < at <= end)
    note = f"at most {early:.2f} MB of its own, then at most {late:.2f} MB"
    name = f"growth of memory, {middle} s to {end} s at 500/s"
    row = Row(name, [late - early], "MB", 1, 0.25, least=False, note=note)
    return [row], {"anonymous_mb": {str(middle): early, str(end): late}}


def cores(bench):
    """Two workers on two cores against one on one.

    The server needs a core too, so the wall says nothing on a machine of two. What stands in the way of more cores
    is work that a second worker adds to each request (locks, lines of cache that travel): CPU seconds show it.
    """
    mine, options = bench.clients["pacecar"], bench.options
    asks = {
        f"{workers} worker{'s' * (workers > 1)}": (
            mine,
            lambda url, workers=workers: mine.closed(url, CONNECTIONS, options.seconds, workers),
            bench.cores.all,
        )
        for workers in (1, 2)
    }
    rates, _ = bench.rounds("cores", asks)
    values = [2 * share for share in ratio(rates["2 workers"], rates["1 worker"])]
    row = Row("2 cores against 1, by CPU per request", values, "×", 1.8, 1.9)
    return [row], {"requests_per_cpu_second_by_workers": rates}


ALL = {"closed": closed, "paced": paced, "memory": memory, "low": low, "growth": growth, "cores": cores}


def measured(bench, names):
    """The rows, the figures behind them, and what could not be measured."""
    rows, data, missed = [], {}, []
    for name in names:
        try:
            more, behind = ALL[name](bench)
        except Missed as why:
            missed.append(f"{name}: not measured: {why}")
            continue
        rows += more
        data.update(behind)
    return rows, data, missed
