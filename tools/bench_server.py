#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tandem serve on this machine: the rows that the server must show, and infinity beside it.

    tools/bench_server.py --folder MODEL --texts FILE [--rows throughput,latency,...] [--json OUT]

FILE has a text a line, or is stsb-en-test.csv. Sides take turns in blocks of some seconds, the
order turns from round to round, and what is printed is the median of the rounds with its quartiles
(docs/perf/method.md). Load comes from bench/server/http_load, the engine's own rate from
bench/server/engine_rate. Both share the processors with the server; where a row says "scaled", a
rate over HTTP is held against the engine's times 1 - generator's processor seconds / (processors x
wall), since the engine alone has no generator beside it.
"""
import argparse
import atexit
import csv
import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROCESSORS = len(os.sched_getaffinity(0))
CLIENTS = 64
IDLE = 10000
REALTIME = ["--header", "X-Tandem-Priority: realtime"]
KIBI = 1024
MEBI = 1 << 20

results = []
running = []  # processes of ours
disturbances = []  # share of the machine that others took in each block


def row(what, values, goal="", digits=3):
    """Prints a line of the table: the median and the quartiles of a list, or a single value."""
    values = values if isinstance(values, list) else [values]
    median = statistics.median(values)
    text = f"{median:.{digits}f}"
    if len(values) > 2:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        text += f" ({low:.{digits}f} to {high:.{digits}f})"
    results.append({"what": what, "median": median, "values": values, "goal": goal})
    print(f"| {what} | {text} | {goal} |", flush=True)
    return median


# Servers.

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def request(port, method, path, body=None, timeout=60):
    """(status, headers, body) of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


class Server:
    """A process that serves; `ready` is the path that says 200 once it does."""

    def __init__(self, command, port, ready, environment=None):
        self.port = port
        self.log = tempfile.TemporaryFile()
        start = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log,
                                        env=os.environ | (environment or {}))
        running.append(self.process)
        atexit.register(self.stop)
        while not self._is_ready(ready):
            if self.process.poll() is not None or time.perf_counter() - start > 60:
                self.stop()
                self.log.seek(0)
                sys.exit(f"{command[0]} does not serve: {self.log.read().decode()[-600:]}")
            time.sleep(0.0005)
        self.start_s = time.perf_counter() - start

    def _is_ready(self, path):
        try:
            return request(self.port, "GET", path)[0] == 200
        except OSError:
            return False

    def stop(self):
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        running.remove(self.process)

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * KIBI
        return 0


def processor_s(process):
    """Of a process that runs, so far."""
    try:
        stat = pathlib.Path(f"/proc/{process.pid}/stat").read_text()
    except FileNotFoundError:
        return 0
    user, system = stat.rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def busy_s():
    """Processor seconds of the whole machine, and of what this program runs, since some time."""
    fields = [int(n) for n in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    everybody = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ours = sum(usage.ru_utime + usage.ru_stime for usage in own)
    return everybody, ours + sum(map(processor_s, running))


class Bench:
    def __init__(self, args, texts):
        self.args = args
        self.texts = texts
        self.load_program = args.build / "bench" / "server" / "http_load"
        self.rate_program = args.build / "bench" / "server" / "engine_rate"

    def tandem(self, *options):
        port = free_port()
        command = [str(self.args.build / "tandem"), "serve", "--model",
                   str(self.args.folder), "--host", "127.0.0.1", "--port", str(port),
                   *self.args.serve_options.split(), *options]
        return Server(command, port, self.args.ready)

    def infinity(self):
        port = free_port()
        command = [str(self.args.infinity), "v2", "--model-id", str(self.args.folder), "--engine",
                   "torch", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error",
                   *self.args.infinity_options.split()]
        quiet = {"HF_HUB_OFFLINE": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "DO_NOT_TRACK": "1"}
        return Server(command, port, "/health", quiet)

    def load_command(self, server, *options):
        return [str(self.load_program), "--port", str(server.port), "--texts", str(self.texts),
                "--model", self.args.folder.name, *map(str, options)]

    def load(self, server, *options):
        run = subprocess.run(self.load_command(server, *options), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, check=False)
        if run.returncode:
            sys.exit(f"http_load {' '.join(map(str, options))}: {run.stderr or run.stdout}")
        return json.loads(run.stdout)

    def background(self, server, *options):
        """Load beside what is measured; `finish` has its report."""
        process = subprocess.Popen(self.load_command(server, *options), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    @staticmethod
    def finish(process):
        report = process.communicate()[0]
        running.remove(process)
        return json.loads(report) if report else {}

    def closed_with_cost(self, server, *options):
        """A closed loop, with the server's processor time for each answer, warm-up included."""
        before = processor_s(server.process)
        load = self.closed(server, CLIENTS, "--warmup", 0, *options)
        load["cost_s"] = (processor_s(server.process) - before) / load["ok"]["count"]
        return load

    def closed(self, server, connections, *options):
        return self.load(server, "--connections", connections, "--seconds", self.args.seconds,
                         "--warmup", 0.5, *options)

    def engine(self, outstanding):
        run = subprocess.run([str(self.rate_program), str(self.args.folder), str(self.texts),
                              str(outstanding), str(self.args.seconds), "0.5"],
                             stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(run.stdout)

    def quiet(self, block):
        """The block's result, taken again (a few times) if others used the machine meanwhile."""
        for left in reversed(range(self.args.tries)):
            everybody, ours = busy_s()
            start = time.perf_counter()
            found = block()
            wall = time.perf_counter() - start
            after_everybody, after_ours = busy_s()
            others = (after_everybody - everybody) - (after_ours - ours)
            share = max(0, others) / (PROCESSORS * wall)
            if share <= self.args.others_max or left == 0:
                break
        disturbances.append(share)
        return found

    def repeated(self, block):
        return [self.quiet(block) for _ in range(self.args.rounds)]

    def turns(self, *sides):
        """Each side once a round, the order turned every other round: a list of results each."""
        found = [[] for _ in sides]
        for number in range(self.args.rounds):
            order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
            for i in order:
                found[i].append(self.quiet(sides[i]))
        return found


def rate(load):
    return load["ok"]["per_s"]


def share_left(load):
    """Of the processors, while the generator has its part."""
    return 1 - load["processor_s"] / (PROCESSORS * load["seconds"])


# The rows.

def throughput(bench):
    server = bench.tandem()
    routes = ["embed", "openai-base64"] if bench.args.all_routes else ["embed"]
    for route in routes:
        engine, load = bench.turns(lambda: bench.engine(CLIENTS),
                                   lambda r=route: bench.closed_with_cost(server, "--route", r))
        row(f"{route}: texts/s, {CLIENTS} kept connections", [rate(l) for l in load], "", 0)
        row(f"{route}: texts/s of the engine, {CLIENTS} under way", [e["per_s"] for e in engine],
            "", 0)
        row(f"{route}: generator's processor time, share of the machine",
            [1 - share_left(l) for l in load])
        row(f"{route}: rate over HTTP / engine's, scaled",
            [rate(l) / e["per_s"] / share_left(l) for l, e in zip(load, engine)], "at least 0.92")
        row(f"{route}: processor time of a text, server / engine",
            [l["cost_s"] * e["per_s"] * e["seconds"] / e["processor_s"]
             for l, e in zip(load, engine)])
        row(f"{route}: p50 over HTTP / engine's",
            [l["ok"]["p50_ms"] / e["p50_ms"] for l, e in zip(load, engine)])
    server.stop()


def latency(bench):
    server = bench.tandem()
    engine, load = bench.turns(lambda: bench.engine(1), lambda: bench.closed(server, 1))
    for name, goal in (("p50", 0.2), ("p95", 0.5)):
        row(f"one text: {name} over HTTP, ms", [l["ok"][name + "_ms"] for l in load])
        row(f"one text: {name} of the engine, ms", [e[name + "_ms"] for e in engine])
        row(f"one text: added {name}, ms",
            [l["ok"][name + "_ms"] - e[name + "_ms"] for l, e in zip(load, engine)],
            f"at most {goal}")
    server.stop()


def held(bench, server, mode, interval):
    """A process that holds connections, once all of them stand."""
    process = bench.background(server, "--mode", mode, "--connections", IDLE, "--seconds", 3600,
                               "--interval", interval)
    if process.stderr.readline() != "ready\n":
        sys.exit(f"http_load --mode {mode} did not open its connections")
    return process


def idle(bench):
    for mode in ("idle", "loris", "trickle"):
        server = bench.tandem()
        bench.closed(server, CLIENTS)
        before = server.resident_bytes()
        alone = bench.repeated(lambda: bench.closed(server, CLIENTS))
        process = held(bench, server, mode, 5)
        time.sleep(1)
        grown = server.resident_bytes() - before
        beside = bench.repeated(lambda: bench.closed(server, CLIENTS))
        grown = max(grown, server.resident_bytes() - before)
        process.terminate()
        report = bench.finish(process)
        row(f"{mode}: {IDLE} connections, bytes each", grown / IDLE, "at most 10240", 0)
        row(f"{mode}: rate of {CLIENTS} others beside them / alone",
            statistics.median(map(rate, beside)) / statistics.median(map(rate, alone)))
        row(f"{mode}: p95 of {CLIENTS} others beside them / alone",
            statistics.median(l["ok"]["p95_ms"] for l in beside) /
            statistics.median(l["ok"]["p95_ms"] for l in alone))
        if mode == "idle":
            row("idle: served before, of all", report["served_before"] / IDLE, "1")
            row("idle: served after, of all", report["served_after"] / IDLE, "1")
        else:
            row(f"{mode}: cut by the server and opened anew, of all", report["closed"] / IDLE)
        server.stop()


def answered_within(server, bound):
    """Requests to /embed whose time in the server was at most `bound` seconds, refusals too."""
    text = request(server.port, "GET", "/metrics")[2].decode()
    pattern = (r'^tandem_http_request_duration_seconds_bucket\{route="/embed",method="POST",'
               rf'le="{bound}"}} (\S+)$')
    found = re.search(pattern, text, re.MULTILINE)
    return float(found.group(1)) if found else 0


def overload(bench):
    options = bench.args.overload_options.split()
    server = bench.tandem(*options)
    peaks = bench.repeated(lambda: bench.closed(server, CLIENTS))
    offered = 3 * statistics.median(map(rate, peaks))
    quick = answered_within(server, 0.002)
    load = bench.load(server, "--mode", "open", "--rate", offered, "--connections",
                      bench.args.overload_connections, "--seconds", bench.args.overload_s,
                      "--warmup", 0)
    quick = answered_within(server, 0.002) - quick
    after = bench.repeated(lambda: bench.closed(server, CLIENTS))
    peak = statistics.median(rate(l) / share_left(l) for l in peaks + after)
    row("overload 3x: offered / peak", load["rate"] / peak, "3")
    row("overload 3x: goodput a second", rate(load), "", 0)
    row("overload 3x: goodput / peak, scaled", rate(load) / (peak * share_left(load)),
        "at least 0.9")
    row("overload 3x: p50 of an answer, ms", load["ok_from_send"]["p50_ms"])
    row("overload 3x: p95 of an answer, ms", load["ok_from_send"]["p95_ms"])
    row("overload 3x: refused a second", load["refused"]["per_s"], "", 0)
    row("overload 3x: p50 of a refusal as the client sees it, ms",
        load["refused_from_send"]["p50_ms"])
    row("overload 3x: p95 of a refusal as the client sees it, ms",
        load["refused_from_send"]["p95_ms"])
    row("overload 3x: answers within 2 ms in the server / refusals",
        quick / max(1, load["refused"]["count"]), "at least 0.95")
    row("overload 3x: refusals without Retry-After", load["retry_after_missing"], "0", 0)
    row("overload 3x: neither 200 nor 429, lost, bad",
        load["other"]["count"] + load["lost"] + load["bad"], "0", 0)
    row("overload 3x: seconds that the generator was behind at the end", load["behind_s"])
    row("after the overload: rate / before",
        statistics.median(map(rate, after)) / statistics.median(map(rate, peaks)))
    server.stop()


class Watch(threading.Thread):
    """The largest resident set of a server while it runs."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.is_over = False
        self.largest = 0
        self.start()

    def run(self):
        while not self.is_over:
            self.largest = max(self.largest, self.server.resident_bytes())
            time.sleep(0.05)

    def end(self):
        self.is_over = True
        self.join()
        return self.largest


def stream(bench):
    server = bench.tandem()
    alone = bench.repeated(lambda: bench.closed(server, 1, *REALTIME))
    others = bench.background(server, "--seconds", 3600)
    time.sleep(1)
    beside = bench.repeated(lambda: bench.closed(server, 1, *REALTIME))
    others.kill()
    bench.finish(others)
    slow = bench.repeated(lambda: bench.load(server, "--mode", "stream", "--requests", 400,
                                           "--rate", 200))
    row("stream at 200 texts/s: first vector, ms", [l["first_vector_ms"] for l in slow],
        "at most 50")
    row("stream at 200 texts/s: p50 of text to vector, ms", [l["vectors"]["p50_ms"] for l in slow])
    row("stream at 200 texts/s: p95 of text to vector, ms", [l["vectors"]["p95_ms"] for l in slow])
    before = server.resident_bytes()
    watch = Watch(server)
    process = bench.background(server, "--mode", "stream", "--requests", bench.args.stream_texts)
    time.sleep(1)
    during = bench.repeated(lambda: bench.closed(server, 1, *REALTIME))
    report = bench.finish(process)
    grown = watch.end() - before
    row("stream: texts answered with a vector", report["vectors"]["count"],
        str(bench.args.stream_texts), 0)
    row("stream: first vector, ms", report["first_vector_ms"], "at most 50")
    row("stream: growth of the resident set, MB", grown / MEBI, "at most 64")
    row("stream: texts/s", report["vectors"]["per_s"], "", 0)
    row("realtime caller alone: p95, ms", [l["ok"]["p95_ms"] for l in alone])
    row(f"realtime caller beside {CLIENTS} standard ones: p95, ms",
        [l["ok"]["p95_ms"] for l in beside])
    row("realtime caller beside the stream: p95, ms", [l["ok"]["p95_ms"] for l in during],
        "no more than beside standard callers")
    server.stop()


def start(bench):
    bench.tandem().stop()  # the file cache is warm
    found = []
    for _ in range(15):
        server = bench.tandem()
        found.append(server.start_s * 1e3)
        server.stop()
    row("start of the process to 200 from /ready, ms", found, "at most 150", 1)


def vectors_of(port, path, body):
    answer = json.loads(request(port, "POST", path, json.dumps(body))[2])
    return [item["embedding"] for item in answer["data"]] if "data" in answer else answer


def peers(bench):
    tandem, infinity = bench.tandem(), bench.infinity()
    lines = pathlib.Path(bench.texts).read_text(encoding="utf-8").splitlines()[:64]
    name = bench.args.folder.name
    ours = vectors_of(tandem.port, "/embed", {"inputs": lines[:32]})
    theirs = vectors_of(infinity.port, "/embeddings", {"model": name, "input": lines[:32]})
    row("infinity: largest difference of a vector's number",
        max(abs(a - b) for x, y in zip(ours, theirs) for a, b in zip(x, y)), "at most 0.001", 6)
    for clients, goals in ((1, ("", 1 / 3)), (8, (2, 0.5)), (64, (2, 0.5))):
        a, b = bench.turns(lambda c=clients: bench.closed(tandem, c),
                           lambda c=clients: bench.closed(infinity, c, "--route", "infinity"))
        label = f"{clients} client{'s' if clients > 1 else ''}"
        row(f"{label}: texts/s, tandem", [rate(l) for l in a], "", 0)
        row(f"{label}: texts/s, infinity", [rate(l) for l in b], "", 0)
        row(f"{label}: tandem's rate / infinity's", [rate(x) / rate(y) for x, y in zip(a, b)],
            goals[0] and f"at least {goals[0]}", 1)
        row(f"{label}: p50, tandem, ms", [l["ok"]["p50_ms"] for l in a], "", 2)
        row(f"{label}: p50, infinity, ms", [l["ok"]["p50_ms"] for l in b], "", 2)
        row(f"{label}: tandem's p50 / infinity's",
            [x["ok"]["p50_ms"] / y["ok"]["p50_ms"] for x, y in zip(a, b)],
            f"at most {goals[1]:.2f}")
    tandem.stop()
    infinity.stop()


ROWS = {"throughput": throughput, "latency": latency, "idle": idle, "overload": overload,
        "stream": stream, "start": start, "infinity": peers}


def text_lines(path, folder):
    """The texts as http_load reads them: one a line."""
    if path.suffix != ".csv":
        return path
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    lines = folder / "texts.txt"
    lines.write_text("".join(r[side] + "\n" for side in (0, 1) for r in rows), encoding="utf-8")
    return lines


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="the model's folder")
    parser.add_argument("--texts", type=pathlib.Path, required=True,
                        help="a file of lines, or stsb-en-test.csv")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--rows", default=",".join(name for name in ROWS if name != "infinity"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4, help="of one block")
    parser.add_argument("--others-max", type=float, default=0.05,
                        help="a block is taken again if others had a larger share of the machine")
    parser.add_argument("--tries", type=int, default=3, help="... so many times in all")
    parser.add_argument("--all-routes", action="store_true", help="throughput of each API")
    parser.add_argument("--stream-texts", type=int, default=100000)
    parser.add_argument("--overload-s", type=float, default=60)
    parser.add_argument("--overload-connections", type=int, default=12000)
    parser.add_argument("--overload-options", default="", help="of tandem serve, for that row")
    parser.add_argument("--serve-options", default="--cache 0",
                        help="of tandem serve; the texts repeat, so that a cache would know them")
    parser.add_argument("--ready", default="/ready", help="path that says when tandem serves")
    parser.add_argument("--infinity-options", default="")
    parser.add_argument("--infinity", type=pathlib.Path,
                        help="infinity_emb, installed from tools/peers_server.txt")
    parser.add_argument("--json", type=pathlib.Path, help="write every figure here too")
    args = parser.parse_args()
    rows = args.rows.split(",")
    if "infinity" in rows and args.infinity is None:
        parser.error("the row infinity needs --infinity PATH of infinity_emb")
    print(f"{PROCESSORS} processors, {args.rounds} rounds of {args.seconds:g} s\n")
    print("| what | median (quartiles) | goal |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(args, text_lines(args.texts, pathlib.Path(work)))
        for name in rows:
            ROWS[name](bench)
    print(f"\nOthers' share of the machine: median {statistics.median(disturbances or [0]):.3f}, "
          f"most {max(disturbances or [0]):.3f} of a block")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
