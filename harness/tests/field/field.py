"""Load generators side by side, on a server whose stalls are known: see run."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

RATE, SECONDS, STALL, EVERY = 500, 40, 1.0, 10.0
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


def truth(quantile):
    """Seconds, where requests come evenly and each waits for the end of the stall it meets."""
    share = STALL / EVERY
    return max(0.0, (quantile - (1 - share)) / share * STALL)


def run(*command):
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def callrig(url):
    with tempfile.TemporaryDirectory() as out:
        run(sys.argv[1], "load", "--http", url, "--rate", str(RATE), "--duration", f"{SECONDS}s", "--out", out)
        with open(os.path.join(out, "load.json")) as file:
            points = json.load(file)["latencies"][0]["points"]
    return [between(points, quantile * 100) for quantile in QUANTILES]


def between(points, percent):
    """The value at a percentile, on the line between the two points beside it."""
    for one, after in zip(points, points[1:]):
        if after["percentile"] >= percent > one["percentile"]:
            part = (percent - one["percentile"]) / (after["percentile"] - one["percentile"])
            return one["value"] + part * (after["value"] - one["value"])
    return points[-1]["value"]


def oha(url, *more):
    text = run("oha", "--no-tui", "--output-format", "json", "-q", str(RATE), "-z", f"{SECONDS}s", "-c", "64", *more, url)
    found = json.loads(text)["latencyPercentiles"]
    names = {0.5: "p50", 0.9: "p90", 0.95: "p95", 0.99: "p99", 0.999: "p99.9"}
    return [found[names[quantile]] for quantile in QUANTILES]


def wrk(url):
    text = run("wrk", "-t1", "-c16", f"-d{SECONDS}s", "--latency", url)
    found = {}
    for percent, value, unit in re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s)$", text, re.M):
        found[int(percent) / 100] = float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit]
    return [found.get(quantile) for quantile in QUANTILES]


def k6(url):
    script = f"""import http from 'k6/http';
export const options = {{
  scenarios: {{ even: {{ executor: 'constant-arrival-rate', rate: {RATE}, timeUnit: '1s',
    duration: '{SECONDS}s', preAllocatedVUs: 64, maxVUs: 2000 }} }},
  summaryTrendStats: ['p(50)', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)'],
}};
export default () => http.get('{url}');
"""
    with tempfile.TemporaryDirectory() as folder:
        file, summary = os.path.join(folder, "load.js"), os.path.join(folder, "summary.json")
        with open(file, "w") as out:
            out.write(script)
        run("k6", "run", "--quiet", "--summary-export", summary, file)
        with open(summary) as found:
            found = json.load(found)["metrics"]["http_req_duration"]
    return [found[f"p({quantile * 100:g})"] / 1e3 for quantile in QUANTILES]


def line(name, values):
    shown = "".join("         –" if value is None else f"{value * 1e3:9.1f} " for value in values)
    print(f"{name:34}{shown}", flush=True)


def main():
    server = subprocess.Popen([sys.argv[2], "127.0.0.1:0", f"{STALL}s", f"{EVERY}s"], stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip()
    try:
        print(f"{RATE} requests a second for {SECONDS} s; {STALL:g} s of each {EVERY:g} s stand still; latencies in ms")
        print(f"{'':34}" + "".join(f"{'p' + format(quantile * 100, 'g'):>9} " for quantile in QUANTILES))
        line("truth", [truth(quantile) for quantile in QUANTILES])
        line("callrig load", callrig(url))
        if shutil.which("oha"):
            line("oha, latency correction", oha(url, "--latency-correction"))
            line("oha", oha(url))
        if shutil.which("wrk"):
            line("wrk (16 connections, closed loop)", wrk(url))
        if shutil.which("k6"):
            line("k6, constant arrival rate", k6(url))
    finally:
        server.terminate()


main()
