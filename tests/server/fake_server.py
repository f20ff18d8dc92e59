#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the server's GET /, GET /lanes and POST /embed, for tests of the page alone: three
lanes with a load that comes and goes, and states that a real server is seldom in.

    fake_server.py [PORT]        serves until it is killed, for work on the page
"""
import base64
import hashlib
import http.server
import json
import math
import pathlib
import random
import re
import sys
import threading
import time

PAGE = pathlib.Path(__file__).resolve().parents[2] / "src/server/dashboard.html"
LANES = [("ane", "latency", "Apple Neural Engine, 16 cores", 80, 2.7, 1.2),
         ("metal", "throughput", "Apple M3 Max, 40 GPU cores", 90, 4.7, 14.5),
         ("cpu", "background", "Apple M3 Max, 12 performance cores", 70, 11.4, 6.2)]


def policy(page):
    """As dashboard.c makes it: only the page's own script and style may run."""
    hashes = [base64.b64encode(hashlib.sha256(re.search(f"<{tag}>(.*?)</{tag}>", page, re.S)
                                              .group(1).encode()).digest()).decode()
              for tag in ("script", "style")]
    return ("default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'" % tuple(hashes))


def page_of_file():
    """(headers, page) of the page as it lies in the tree."""
    page = PAGE.read_text(encoding="utf-8")
    return {"Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": policy(page)}, page.encode()


class State:
    """What the tests turn: load 0 to 1, a key that is asked for, models, lanes that are out."""

    def __init__(self, page=page_of_file):
        self.page = page
        self.load = 0.6
        self.key = None
        self.is_ready = True
        self.out = set()
        self.absent = set()
        self.model_names = ["sentence-transformers/all-MiniLM-L6-v2"]
        self.is_down = False
        self.start = time.time()
        self.asked = []
        self.texts = {name: 0.0 for name, *_ in LANES}
        self.last = time.time()
        self.random = random.Random(1)
        self.lock = threading.Lock()

    def lane(self, name, lane_class, device, ms, batch):
        if name in self.absent:
            return {"name": name, "class": lane_class, "device": "", "dtype": "",
                    "available": False, "reason": f"needs a machine that has {name}",
                    "state": "absent"}
        wave = 0.75 + 0.25 * math.sin(time.time() / 7 + len(name))
        used = 0.0 if name in self.out else min(1.0, self.load * wave + self.random.gauss(0, .02))
        used = max(used, 0.0) if self.load else 0.0
        self.texts[name] += used * batch / ms * 1000 * (time.time() - self.last)
        p50 = ms * (1 + 2 * used)
        return {"name": name, "class": lane_class, "device": device, "dtype": "f16",
                "available": True, "reason": "", "state": "out" if name in self.out else "up",
                "utilisation": used, "in_flight": round(2 * used), "in_flight_max": 2,
                "busy_ms": 1000.0, "batches": int(self.texts[name] / batch),
                "texts": int(self.texts[name]), "tokens": int(self.texts[name] * 21),
                "batch_mean": batch, "failed_batches": 2 if name in self.out else 0,
                "outages": int(name in self.out), "requests": int(self.texts[name]),
                "fallbacks": 3 if name == "metal" and self.out else 0,
                "answered": 100 if self.load else 0, "p50_ms": p50, "p95_ms": p50 * 1.6,
                "p99_ms": p50 * 2.4}

    def model(self, name):
        lanes = [self.lane(lane, lane_class, device, ms, batch)
                 for lane, lane_class, device, _, ms, batch in LANES]
        rate = sum(lane.get("utilisation", 0) * batch / ms * 1000
                   for lane, (*_, ms, batch) in zip(lanes, LANES))
        p95 = 2.1 + 6 * max(0.0, self.load - 0.7) + self.random.random() / 4
        targets = [("latency_p95_ms", p95, 5, False, self.load > 0),
                   ("throughput_per_s", rate, 300, True, self.load > 0.3)]
        targets += [("utilisation_" + lane["name"], 100 * lane["utilisation"], limit, False, True)
                    for lane, (_, _, _, limit, _, _) in zip(lanes, LANES) if lane["available"]]
        targets += [("error_percent", 0.4 if self.out else 0.0, 0.1, False, self.load > 0),
                    ("queue_depth", round(self.load ** 3 * 14), 10, False, self.load > 0)]
        requests = int(sum(self.texts.values()))
        return {"name": name, "size": "small", "dtype": "f16", "dimensions": 384,
                "max_length": 256, "embeds": True, "labels": 0, "ready": self.is_ready,
                "waiting": round(self.load ** 3 * 12 * (0.6 + 0.4 * self.random.random())),
                "waiting_tokens": 0, "texts_per_s": rate, "texts": requests,
                "tokens": requests * 21, "truncated": requests // 900, "cached": requests // 40,
                "refused": 0, "deadline_misses": len(self.out), "cancelled": 0,
                "speed_percent": 100, "memory_level": 0, "batch_scale": 1,
                "minute": {"answered": 300 if self.load else 0, "p50_ms": p95 * .45,
                           "p95_ms": p95, "p99_ms": p95 * 1.9, "failed": 0},
                "priorities": [{"name": band, "requests": int(requests * share),
                                "queue_p95_ms": wait, "answered": 90, "p50_ms": p95 * .4,
                                "p95_ms": p95 * scale, "p99_ms": p95 * scale * 1.4}
                               for band, share, wait, scale in [("realtime", .2, .1, .6),
                                                                ("standard", .6, .9, 1),
                                                                ("background", .2, 9.4, 6)]],
                "targets": [{"name": target, "value": value, "limit": limit, "is_minimum": least,
                             "state": "not measured" if not measured else
                             "met" if (value > limit) == least else "missed"}
                            for target, value, limit, least, measured in targets],
                "reasons": [{"reason": "earliest predicted finish", "requests": requests},
                            {"reason": "asked for", "requests": requests // 9}],
                "lanes": lanes}

    def lanes(self):
        with self.lock:
            models = [self.model(name) for name in self.model_names]
            self.last = time.time()
            now = int(self.last * 1000)
            recent = [{"time_ms": now - 230 * i, "model": self.model_names[0],
                       "lane": LANES[i % 2][0],
                       "reason": "earliest predicted finish" if i % 3 else "asked for",
                       "priority": [-10, 0, 10][i % 3], "texts": 1 + i % 4, "code": 200,
                       "total_ms": 1.9 + i / 3} for i in range(12 if self.load else 0)]
            return {"version": "0.1.0", "time_ms": now,
                    "uptime_s": int(self.last - self.start) + 90000,
                    "http": {"connections": 64 if self.load else 1, "connections_max": 10000,
                             "requests": 5, "streams": 1, "clients_left": 0, "bytes_in": 84_000_000,
                             "bytes_out": 910_000_000},
                    "draining": False, "ledger": {"kept": True, "fault": ""},
                    "errors": {"validation": 3} if self.load else {},
                    "machine": {"processor": "Apple M3 Max", "kernels": "neon", "processors": 16,
                                "memory_bytes": 64 << 30, "memory_available_bytes": 40 << 30,
                                "resident_bytes": 212 << 20, "cpu_s": 1234.5},
                    "models": models, "recent": recent}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state = None

    def log_message(self, *_):
        pass

    def answer(self, code, body, headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def may(self):
        state = self.state
        if state.key is None or self.headers["Authorization"] == f"Bearer {state.key}":
            return True
        self.answer(401, {"error": "a key is needed", "error_type": "Unauthorized"})
        return False

    def do_GET(self):
        if self.state.is_down:
            self.close_connection = True
            return
        if self.path == "/":
            headers, page = self.state.page()
            self.answer(200, page, headers)
        elif self.path == "/lanes":
            if self.may():
                self.answer(200, self.state.lanes())
        else:
            self.answer(404, {"error": f"no route {self.path}", "error_type": "NotFound"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.may():
            return
        self.state.asked.append((self.path, body, dict(self.headers)))
        texts = body["inputs"] if isinstance(body["inputs"], list) else [body["inputs"]]
        if any(text == "" for text in texts):
            self.answer(422, {"error": "`inputs` cannot be empty", "error_type": "Validation"})
            return
        lane = self.headers.get("X-Tandem-Lane", "auto")
        asked = lane != "auto"
        vectors = []
        for text in texts:
            chance = random.Random(text.lower()[:4])
            vector = [chance.gauss(0, 1) for _ in range(384)]
            length = math.sqrt(sum(v * v for v in vector))
            vectors.append([v / length for v in vector])
        self.answer(200, vectors, {
            "X-Tandem-Lane": lane if asked else "ane",
            "X-Tandem-Reason": "asked for" if asked else "earliest predicted finish",
            "Server-Timing": "tokenize;dur=0.042, queue;dur=0.310, infer;dur=2.713, "
                             "total;dur=3.310"})


def serve(port=0, page=page_of_file):
    """(server, state); the server runs on a thread of its own. `page` gives headers and page."""
    state = State(page)
    handler = type("Handler", (Handler,), {"state": state})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, state


if __name__ == "__main__":
    running, _ = serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
    print(f"http://127.0.0.1:{running.server_port}/")
    threading.Event().wait()
