# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven by its DevTools protocol over a pipe: JSON messages that end with a
NUL, on descriptors 3 and 4 of the browser. Nothing but the standard library. As a program it prints
where the browser is, and fails where there is none."""
import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

NAMES = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
MAC = "/Applications/{0}.app/Contents/MacOS/{0}"
FLAGS = ["--headless", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run",
         "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--mute-audio"]


def find():
    for name in NAMES + [MAC.format("Chromium"), MAC.format("Google Chrome")]:
        if shutil.which(name):
            return shutil.which(name)
    raise FileNotFoundError("no Chromium: run tools/setup.sh test")


class Browser:
    """One browser with one page. `problems` has every error of its console, every exception and
    every breach of the page's policy."""

    def __init__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()
        for fd in (to_read, to_write):
            os.set_inheritable(fd, True)
        # Its descriptors 3 and 4 are the pipe's, wherever they are here.
        command = [find(), *FLAGS, f"--user-data-dir={self.profile.name}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", 'exec "$@" ' + f"3<&{to_read} 4>&{to_write}", "bash", *command],
            close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        os.close(to_read)
        os.close(to_write)
        self.read = b""
        self.number = 0
        self.is_loaded = False
        self.problems = []
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def close(self):
        os.close(self.to)
        os.close(self.back)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.profile.cleanup()

    def receive(self, deadline):
        while b"\0" not in self.read:
            ready, _, _ = select.select([self.back], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return None
            data = os.read(self.back, 1 << 20)
            if not data:
                raise ConnectionError("the browser has ended")
            self.read += data
        line, self.read = self.read.split(b"\0", 1)
        message = json.loads(line)
        if "method" in message:
            self.note(message["method"], message["params"])
        return message

    def note(self, method, params):
        if method == "Page.loadEventFired":
            self.is_loaded = True
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(f'{params["entry"]["text"]} {params["entry"].get("url", "")}')
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning",
                                                                         "assert"):
            self.problems.append(str([arg.get("value") for arg in params["args"]]))

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 40
        while (answer := self.receive(deadline)) is not None:
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f'{method}: {answer["error"]["message"]}')
                return answer["result"]
        raise TimeoutError(f"{method}: no answer from the browser")

    def run(self, script):
        """The value of an expression, awaited if it is a promise."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def wait(self, script, seconds=30.0):
        """Until the expression is true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.run(f"Boolean({script})"):
                return
            time.sleep(0.05)
        raise TimeoutError(f"never true: {script}; page: {self.text()[-1500:]}")

    def text(self):
        return self.run("document.body.innerText")

    def view(self, width, height, dark=False, still=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 500)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"}])

    def open(self, url):
        self.is_loaded = False
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + 40
        while not self.is_loaded:
            if self.receive(deadline) is None:
                raise TimeoutError(f"{url}: not loaded in 40 s")

    def key(self, name, code, modifiers=0):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name,
                      windowsVirtualKeyCode=code, modifiers=modifiers,
                      text="\r" if name == "Enter" and kind == "keyDown" else "")

    def screenshot(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(data["data"]))


if __name__ == "__main__":
    print(find())
