# SPDX-License-Identifier: Apache-2.0
"""A connection that says what it is told to, byte for byte, and reads answers strictly."""
import json
import socket


class Reply:
    def __init__(self, code, headers, body):
        self.code = code
        self.headers = headers  # names in lower case
        self.body = body

    def json(self):
        return json.loads(self.body)


def request(method, target, body=b"", *lines, version="HTTP/1.1", host="Host: x"):
    """The bytes of a request; Content-Length where there is a body."""
    head = [f"{method} {target} {version}"] + ([host] if host else [])
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, *lines, "", ""]).encode("latin-1") + body


def post(target, value, *lines, **fields):
    """The bytes of a POST of JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return request("POST", target, body, "Content-Type: application/json", *lines, **fields)


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Wire:
    def __init__(self, port, timeout=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def send(self, *data):
        self.socket.sendall(b"".join(data))

    def line(self):
        line = self.file.readline(65537)
        if not line:
            raise EOFError("the server closed the connection")
        assert line.endswith(b"\r\n"), line
        return line[:-2]

    def head(self):
        """(code, headers) of the next answer."""
        version, code, _ = self.line().split(b" ", 2)
        assert version == b"HTTP/1.1", version
        headers = {}
        while line := self.line():
            name, value = line.decode("latin-1").split(":", 1)
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value.strip()
        return int(code), headers

    def chunk(self):
        """The next chunk of an answer's body; b"" is the last."""
        size = int(self.line(), 16)
        data = self.file.read(size)
        assert len(data) == size
        assert self.line() == b""
        return data

    def answer(self, has_body=True):
        """The next answer, whole."""
        code, headers = self.head()
        if code < 200 or code == 204 or not has_body:
            return Reply(code, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            assert "content-length" not in headers
            body = b"".join(iter(self.chunk, b""))
        else:
            length = int(headers["content-length"])
            body = self.file.read(length)
            assert len(body) == length, f"{len(body)} bytes of {length}"
        return Reply(code, headers, body)

    def ask(self, *data, has_body=True):
        self.send(*data)
        return self.answer(has_body)

    def is_closed(self):
        """Waits for the server to close; false if it sends something instead."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True
