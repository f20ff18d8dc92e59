# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face Hub on the loopback, with faults to order.

    hub = FakeHub()                     # two ports: the Hub, and the storage it redirects to
    hub.add("org/name", {"config.json": b"{}", "model.safetensors": b"..."})
    hub.faults.append(Fault("model.safetensors", cut=1000, times=1))
    ... hub.endpoint, hub.requests ...
    hub.close()

Files of at least LFS_BYTES are "large": named by SHA-256 and served by a redirect to the other
port, as the Hub does; the others by git's SHA-1 and directly.
"""
import collections
import hashlib
import http.server
import json
import pathlib
import socket
import ssl
import threading
import time
import urllib.parse

LFS_BYTES = 2000
CERTIFICATE = str(pathlib.Path(__file__).with_name("loopback.pem"))


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(content):
    return len(content) >= LFS_BYTES


def etag(content):
    return hashlib.sha256(content).hexdigest() if is_large(content) else git_sha1(content)


class Repo:
    def __init__(self, files, revisions, private, gated):
        self.commits = {}
        self.revisions = dict(revisions or {})
        self.private = private
        self.gated = gated
        self.commit(files)

    def commit(self, files, revision="main"):
        listing = "".join(f"{p} {etag(c)}\n" for p, c in sorted(files.items()))
        sha = hashlib.sha1(listing.encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.revisions[revision] = sha
        return sha


class Fault:
    """What goes wrong for a path ("" = the list of files) the first `times` times.

    cut=N        the connection closes after N bytes of the body
    short=N      the body ends cleanly after N bytes, as if that were all
    stall=S      nothing for S seconds before the answer
    trickle=S    S seconds between pieces of 1000 bytes
    code=C       that answer, with `headers`
    content=B    these bytes instead of the file's
    chunked      no Content-Length
    no_etag      neither ETag nor X-Linked-Etag
    no_range     a Range is ignored: 200 and the whole
    bad_range    206 from another offset than was asked for
    location=U   a redirect there
    """
    def __init__(self, path, times=1, on="GET", **what):
        self.path, self.times, self.on, self.what = path, times, on, what


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for a delayed ACK

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.answer("GET")

    def do_HEAD(self):
        self.answer("HEAD")

    def answer(self, method):
        hub = self.server.hub
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        is_storage = self.server is hub.storage
        hub.requests.append(Request(method, path, dict(self.headers), is_storage, url.query))
        if is_storage:
            self.send_storage(method, path)
        elif path.startswith("/api/models/"):
            self.send_listing(path, urllib.parse.parse_qs(url.query))
        elif "/resolve/" in path:
            self.send_resolve(method, path)
        else:
            self.send_code(404)

    def send_code(self, code, headers=None, body=b"no"):
        self.send_response(code)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refused(self, repo):
        """The Hub's answers to a reader who may not, or to a name that is not there."""
        given = self.headers.get("Authorization")
        good = given == "Bearer " + self.server.hub.token
        if given and not good:
            self.send_code(401)
        elif repo is None or (repo.private and not good):
            self.send_code(404 if good else 401, {"X-Error-Code": "RepoNotFound"})
        elif repo.gated and not (good and self.server.hub.accepted):
            self.send_code(403 if good else 401, {"X-Error-Code": "GatedRepo"})
        else:
            return False
        return True

    def fail(self, path, method="GET"):
        """Takes a fault out of the list; codes and stalls are done here."""
        fault = self.server.hub.take_fault(path, method)
        if fault is None:
            return {}
        what = dict(fault.what)
        if "stall" in what:
            time.sleep(what["stall"])
        if "code" in what:
            self.send_code(what["code"], what.get("headers"), what.get("body", b"no"))
            return None
        if "location" in what:
            self.send_code(what.get("redirect", 302), {"Location": what["location"]})
            return None
        return what

    def send_listing(self, path, query):
        hub = self.server.hub
        if "/tree/" in path:
            self.send_tree(*path.removeprefix("/api/models/").split("/tree/"))
            return
        name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
        if name in hub.moved:
            self.send_code(307, {"Location": f"/api/models/{hub.moved[name]}/revision/{revision}"})
            return
        repo = hub.repos.get(name)
        if self.refused(repo):
            return
        sha = repo.revisions.get(revision, revision)
        if sha not in repo.commits:
            self.send_code(404, {"X-Error-Code": "RevisionNotFound"})
            return
        what = self.fail("")
        if what is None:
            return
        siblings = []
        for file, content in repo.commits[sha].items():
            sibling = {"rfilename": file}
            if hub.says_blobs and query.get("blobs") == ["true"]:
                sibling |= {"size": len(content), "blobId": git_sha1(content)}
                if is_large(content):
                    sibling["blobId"] = git_sha1(b"pointer")
                    sibling["lfs"] = {"sha256": etag(content), "size": len(content),
                                      "pointerSize": 130}
            siblings.append(sibling)
        answer = {"id": name, "sha": sha, "siblings": siblings, "private": repo.private}
        body = what.get("content") or json.dumps(hub.edit(answer)).encode()
        self.send_body(body, {"Content-Type": "application/json"}, what)

    def send_tree(self, name, revision):
        """What huggingface_hub lists files by; tandem does not ask for it."""
        repo = self.server.hub.repos.get(name)
        if self.refused(repo):
            return
        entries = []
        for file, content in repo.commits[repo.revisions.get(revision, revision)].items():
            entry = {"type": "file", "path": file, "size": len(content), "oid": git_sha1(content)}
            if is_large(content):
                entry["lfs"] = {"oid": etag(content), "size": len(content), "pointerSize": 130}
            entries.append(entry)
        self.send_body(json.dumps(entries).encode(), {"Content-Type": "application/json"}, {})

    def send_resolve(self, method, path):
        hub = self.server.hub
        name, _, rest = path[1:].partition("/resolve/")
        revision, _, file = rest.partition("/")
        repo = hub.repos.get(hub.moved.get(name, name))
        if self.refused(repo):
            return
        sha = repo.revisions.get(revision, revision)
        content = repo.commits.get(sha, {}).get(file)
        if content is None:
            self.send_code(404, {"X-Error-Code": "EntryNotFound"})
            return
        hub.served[file] += method == "GET"
        headers = {"X-Repo-Commit": sha}
        if is_large(content):
            what = self.fail("redirect:" + file, method)
            if what is None:
                return
            if "no_etag" not in what:
                headers |= {"X-Linked-Etag": f'"{etag(content)}"', "X-Linked-Size": len(content)}
            self.send_code(302, headers | {"Location": f"{hub.storage_url}/{sha}/{file}"})
            return
        what = self.fail(file, method)
        if what is None:
            return
        if "no_etag" not in what:
            headers["ETag"] = f'W/"{etag(content)}"' if hub.weak_etags else f'"{etag(content)}"'
        self.send_body(content, headers, what)

    def send_storage(self, method, path):
        sha, _, file = path[1:].partition("/")
        hub = self.server.hub
        content = next((r.commits[sha][file] for r in hub.repos.values() if sha in r.commits), None)
        if content is None or method == "HEAD":  # signed addresses are for GET alone
            self.send_code(403)
            return
        what = self.fail(file)
        if what is not None:
            self.send_body(content, {"ETag": '"storage-has-its-own"'}, what)

    def send_body(self, content, headers, what):
        content = what.get("content", content)
        total = len(content)
        code, start = 200, 0
        asked = self.headers.get("Range")
        if asked and "no_range" not in what:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            if start >= total:
                self.send_code(416, {"Content-Range": f"bytes */{total}"})
                return
            code = 206
            shown = start + 1 if "bad_range" in what else start
            headers = headers | {"Content-Range": f"bytes {shown}-{total - 1}/{total}"}
        body = content[start:]
        if "short" in what:
            body = body[:what["short"]]
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, str(value))
        if "chunked" in what:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.write_body(body, what)

    def write_body(self, body, what):
        if "cut" in what:
            self.wfile.write(body[:what["cut"]])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif "chunked" in what:
            for at in range(0, len(body), 1000):
                piece = body[at:at + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif "trickle" in what:
            for at in range(0, len(body), 1000):
                self.wfile.write(body[at:at + 1000])
                self.wfile.flush()
                time.sleep(what["trickle"])
        else:
            self.wfile.write(body)


Request = collections.namedtuple("Request", "method path headers is_storage query")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that leave are part of the tests


class FakeHub:
    token = "hf_good"

    def __init__(self, is_https=False):
        self.repos, self.moved, self.faults, self.requests = {}, {}, [], []
        self.served = collections.Counter()
        self.lock = threading.Lock()
        self.says_blobs = True
        self.weak_etags = False
        self.accepted = True
        self.edit = lambda answer: answer
        self.main = Server(("127.0.0.1", 0), Handler)
        self.storage = Server(("127.0.0.1", 0), Handler)
        for server in (self.main, self.storage):
            server.hub = self
            if is_https:
                tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                tls.load_cert_chain(CERTIFICATE)
                server.socket = tls.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        scheme = "https" if is_https else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self.main.server_port}"
        self.storage_url = f"{scheme}://127.0.0.1:{self.storage.server_port}"

    def add(self, name, files, revisions=None, private=False, gated=False):
        self.repos[name] = Repo(files, revisions, private, gated)
        return self.repos[name]

    def take_fault(self, path, method):
        with self.lock:
            for fault in self.faults:
                if fault.path == path and fault.on == method and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def close(self):
        for server in (self.main, self.storage):
            server.shutdown()
            server.server_close()
