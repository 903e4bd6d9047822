#!/usr/bin/env python3
"""Compares pacecar with k6, wrk and oha on this machine, side by side, as ratios.

Each client is pinned to one core and the server to another. What counts is requests per
CPU-second of the client, from the kernel's accounting of the process. See README.md.
"""

import argparse
import json
import pathlib
import resource
import sys
import tempfile

import rows
from processes import Cores


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pacecar", required=True)
    parser.add_argument("--k6", required=True)
    parser.add_argument("--wrk", default="wrk")
    parser.add_argument("--oha", default="")
    parser.add_argument("--server", required=True)
    parser.add_argument("--quick", action="store_true", help="a look, in a minute and a half: few and short runs")
    parser.add_argument("--rounds", type=int, help="of each comparison")
    parser.add_argument("--seconds", type=int, help="of each measurement in them")
    parser.add_argument("--rate", type=int, default=40_000, help="of the paced runs, requests a second")
    parser.add_argument("--only", default="pacecar,k6,wrk,oha", help="which clients, with commas; pacecar always")
    parser.add_argument("--rows", default=",".join(rows.ALL), help=f"which of {', '.join(rows.ALL)}")
    parser.add_argument("--out", default="target/bench/peers.json")
    parser.add_argument("--gate", action="store_true", help="exit 1 where a figure that must hold does not")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 4)
    options.seconds = options.seconds or (2 if options.quick else 4)
    options.low_seconds = 8 if options.quick else 30
    options.growth = (10, 20) if options.quick else (40, 80)
    if "pacecar" not in options.only.split(","):
        options.only += ",pacecar"
    unknown = set(options.rows.split(",")) - set(rows.ALL)
    if unknown:
        parser.error(f"--rows: {', '.join(unknown)}")
    return options


def main():
    options = arguments()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        bench = rows.Bench(options, Cores(), pathlib.Path(folder))
        found, data, unmeasured = rows.measured(bench, options.rows.split(","))
    out = pathlib.Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    data = {"rows": [row.data() for row in found], "not_measured": unmeasured, **data}
    out.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")

    print("\nmedian (least–greatest):\n")
    for row in found:
        print(row)
    for why in unmeasured:
        print(f"  {why}")
    print(f"\nwritten to {out}")
    missed = [row.name for row in found if not row.holds]
    if options.gate and (missed or unmeasured):
        sys.exit("below what must hold: " + "; ".join(missed + unmeasured))


if __name__ == "__main__":
    main()
