#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_dashboard.py METRICS_PRINT [FOLDER]: the page of GET /, in a headless Chromium, with the
headers that the server sends with it and a stand-in for the rest of the server. With a folder, it
leaves screenshots there, for people to look at."""
import pathlib
import subprocess
import sys
import unittest

import browser
import fake_server
import server_case

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOWN = "!document.getElementById('main').hidden"
CONTROL = 2  # a modifier of the protocol's key events
# Of every visible element with text of its own: the contrast with what is behind it, and its words.
CONTRASTS = """(() => {
    const probe = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const paint = colours => {
        probe.clearRect(0, 0, 1, 1);
        for (const colour of colours) { probe.fillStyle = colour; probe.fillRect(0, 0, 1, 1); }
        return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = rgb => rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 :
        ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    return [...document.querySelectorAll("body *")].filter(node =>
        node.checkVisibility() && !node.closest("script, style, option, button:disabled") &&
        [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim())
    ).map(node => {
        const behind = [];
        for (let at = node; at; at = at.parentElement)
            behind.unshift(getComputedStyle(at).backgroundColor);
        const style = getComputedStyle(node);
        const ink = node.ownerSVGElement ? style.fill : style.color;
        const [a, b] = [light(paint([...behind, ink])), light(paint(behind))];
        return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), node.textContent.slice(0, 40)];
    });
})()"""


def built_page():
    """(headers, page) as the server's own code answers GET /."""
    said = subprocess.run([sys.argv[1], "page"], capture_output=True, check=True,
                          cwd=ROOT).stdout
    lines, mark, page = said.partition(b"<!doctype html>")
    headers = dict(line.split(": ", 1) for line in lines.decode().splitlines())
    return {"Content-Type": "text/html; charset=utf-8", **headers}, mark + page


BUILT = built_page()
PAGE = None  # the browser, one for all tests


def setUpModule():
    global PAGE
    PAGE = browser.Browser()


def tearDownModule():
    PAGE.close()


class Page(unittest.TestCase):
    def setUp(self):
        self.browser = PAGE
        self.server, self.state = fake_server.serve(page=lambda: BUILT)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.browser.problems.clear()
        self.browser.view(1280, 900)

    def tearDown(self):
        self.browser.open("about:blank")
        self.server.shutdown()
        self.server.server_close()

    def open(self):
        self.browser.open(self.url)
        self.browser.wait(SHOWN)

    def run_(self, script):
        return self.browser.run(script)

    def count(self, selector):
        return self.run_(f"document.querySelectorAll({selector!r}).length")

    def shoot(self, name):
        if len(sys.argv) > 2:
            self.browser.screenshot(f"{sys.argv[2]}/{name}.png")

    def assert_quiet(self):
        self.assertEqual(self.browser.problems, [])

    def test_shows_lanes_targets_and_charts_that_move(self):
        self.open()
        self.assertEqual(self.run_("document.getElementById('status').textContent"), "✓ Ready")
        self.assertEqual(self.count("#targets > li"), 5)
        self.assertEqual(self.run_("[...document.querySelectorAll('#lanes h3')].map(h => "
                                   "h.textContent)"), ["ane", "metal", "cpu"])
        drawn = "[...document.querySelectorAll('svg.chart path')].map(p => p.getAttribute('d'))"
        self.assertEqual(self.count("svg.chart"), 6)
        before = self.run_(drawn)
        self.browser.wait("state.history.length >= 3")
        after = self.run_(drawn)
        self.assertTrue(all(a != b for a, b in zip(before, after)), (before, after))
        self.assertTrue(all(path.startswith("M") for path in after), after)
        self.assertRegex(self.run_("document.querySelector('#charts svg')"
                                   ".getAttribute('aria-label')"),
                         r"^Texts per second: ane [\d,.]+, metal [\d,.]+, cpu [\d,.]+$")
        self.assertEqual(self.count("#recent tr"), 9)
        self.assert_quiet()

    def test_charts_have_a_scale_for_every_size(self):
        self.open()
        wrong = self.run_("""(() => {
            const chart = new Chart("a", {lines: [{name: "a", tone: "red", value: p => p.a}]});
            const kept = state.history, wrong = [];
            for (let size = 0.001; size < 1e7; size *= 1.003) {
                state.history = [{time: 1, a: size}];
                for (const log of [false, true]) {
                    chart.log = log;
                    const [low, high] = chart.scale();
                    if (!(high >= size && low < high)) wrong.push([size, log, low, high]);
                }
            }
            state.history = kept;
            return wrong;
        })()""")
        self.assertEqual(wrong, [])

    def test_targets_say_what_is_missed(self):
        self.state.load = 2.0  # the lanes' waves stay over their limits at any time of day
        self.state.out = {"ane"}
        self.open()
        badges = self.run_("Object.fromEntries([...document.querySelectorAll('#targets li')].map("
                           "li => [li.querySelector('h3').textContent, "
                           "li.querySelector('.badge').textContent]))")
        self.assertEqual(badges["Errors"], "✕ Missed")
        self.assertEqual(badges["Utilisation"], "✕ Missed")
        self.assertEqual(badges["Throughput"], "✓ Met")
        lanes = self.run_("[...document.querySelectorAll('#lanes .badge')].map(b => "
                          "b.textContent)")
        self.assertEqual(lanes, ["✕ Out of service", "✓ Up", "✓ Up"])
        radius = "getComputedStyle(document.querySelector('.badge.{}')).borderRadius"
        self.assertNotEqual(self.run_(radius.format("bad")), self.run_(radius.format("good")))
        self.assert_quiet()

    def test_tries_a_text_by_keyboard(self):
        self.open()
        self.run_("document.getElementById('text').focus()")
        self.browser.call("Input.insertText", text=" Ünï <b>bold</b>")
        self.run_("document.getElementById('lane').value = 'metal'")
        self.browser.key("Enter", 13, CONTROL)
        self.browser.wait("document.querySelector('#result .chip')")
        path, body, headers = self.state.asked[-1]
        self.assertEqual((path, len(body["inputs"])), ("/embed", 2))
        self.assertIn(" Ünï <b>bold</b>", body["inputs"][0])
        self.assertEqual(headers["X-Tandem-Lane"], "metal")
        self.assertEqual(headers["X-Tandem-Priority"], "standard")
        said = self.run_("document.getElementById('result').innerText")
        self.assertIn("metal asked for", said)
        self.assertRegex(said, r"Similarity -?0\.\d{4}")
        self.assertRegex(said, r"tokenize 0\.04 ms\s+queue 0\.31 ms\s+infer 2\.71 ms")
        self.assertIn("384 numbers", said)
        self.shoot("light")
        # What the server refuses is said, and nothing breaks.
        self.run_("document.getElementById('text').value = ''")
        self.run_("document.getElementById('try').requestSubmit()")
        self.browser.wait("document.querySelector('#result .bad')")
        self.assertIn("422: `inputs` cannot be empty",
                      self.run_("document.getElementById('result').innerText"))
        self.assertEqual([p for p in self.browser.problems if "422" not in p], [])

    def test_every_control_is_reached_by_tab(self):
        self.open()
        reached = []
        for _ in range(20):
            self.browser.key("Tab", 9)
            reached.append(self.run_("document.activeElement.id || document.activeElement.tagName"))
        for name in ["text", "other", "lane", "priority", "go", "svg"]:
            self.assertIn(name, reached)
        self.run_("document.querySelector('#charts svg').focus()")
        self.browser.key("ArrowLeft", 37)
        self.assertIn("2 s ago", self.run_("document.getElementById('charts').innerText"))
        self.assert_quiet()

    def test_small_and_dark(self):
        self.browser.view(360, 780, dark=True, still=True)
        self.open()
        self.run_("document.getElementById('try').requestSubmit()")
        self.browser.wait("document.querySelector('#result .chip')")
        self.assertEqual(self.run_("document.documentElement.scrollWidth"), 360)
        self.assertEqual(self.run_("getComputedStyle(document.querySelector('.meter i'))"
                                   ".transitionProperty"), "none")
        background = self.run_("getComputedStyle(document.body).backgroundColor")
        self.assertLess(sum(int(part) for part in background[4:-1].split(",")), 100)
        self.shoot("small_dark")
        self.assert_quiet()

    def test_contrast(self):
        self.state.load = 1.0
        self.state.out = {"ane"}
        for dark in (False, True):
            self.browser.view(1280, 900, dark=dark, still=True)
            self.open()
            self.run_("document.getElementById('try').requestSubmit()")
            self.browser.wait("document.querySelector('#result .chip')")
            contrasts = self.run_(CONTRASTS)
            self.assertGreater(len(contrasts), 80)
            self.assertEqual([pair for pair in contrasts if pair[0] < 4.5], [])
        self.shoot("dark")

    def test_asks_for_a_key(self):
        self.state.key = "right"
        self.browser.open(self.url)
        self.browser.wait("!document.getElementById('ask-key').hidden")
        self.assertTrue(self.run_("document.getElementById('main').hidden"))
        for key in ("wrong", "right"):
            self.run_(f"document.getElementById('key').value = '{key}'")
            self.run_("document.getElementById('ask-key').requestSubmit()")
            if key == "wrong":
                self.browser.wait("document.getElementById('note').textContent.includes('accept')")
        self.browser.wait(SHOWN)
        self.assertTrue(self.run_("document.getElementById('ask-key').hidden"))
        self.run_("document.getElementById('try').requestSubmit()")
        self.browser.wait("document.querySelector('#result .chip')")
        self.assertEqual(self.state.asked[-1][2]["Authorization"], "Bearer right")
        self.assertNotIn("right", self.browser.text().split("curl")[1])
        self.run_("sessionStorage.clear()")
        self.assertEqual([p for p in self.browser.problems if "401" not in p], [])

    def test_server_that_goes_and_comes_back(self):
        self.open()
        self.state.is_down = True
        self.browser.wait("!document.getElementById('note').hidden")
        self.assertEqual(self.run_("document.getElementById('status').textContent"),
                         "✕ Disconnected")
        self.assertIn("does not answer", self.browser.text())
        self.assertFalse(self.run_("document.getElementById('main').hidden"))
        self.state.is_down = False
        self.browser.wait("document.getElementById('note').hidden")
        self.assertEqual(self.run_("document.getElementById('status').textContent"), "✓ Ready")
        self.assertEqual([p for p in self.browser.problems if "ERR_EMPTY_RESPONSE" not in p], [])

    def test_without_traffic(self):
        self.state.load = 0.0
        self.state.absent = {"ane", "metal"}
        self.open()
        said = self.browser.text()
        self.assertIn("No requests yet. Try a text above.", said)
        self.assertIn("– Idle", said)
        self.assertIn("Not here: ane (needs a machine that has ane)", said)
        self.assertEqual(self.count("#lanes article"), 1)
        self.assertNotIn("NaN", said)
        self.assertNotIn("undefined", said)
        self.shoot("idle")
        self.assert_quiet()

    def test_several_models(self):
        self.state.model_names.append("org/<i>second</i>")
        self.open()
        self.run_("const m = document.getElementById('model'); m.value = '1'; "
                  "m.dispatchEvent(new Event('change'))")
        self.assertEqual(self.run_("model().name"), "org/<i>second</i>")
        self.assertEqual(self.count("i i, select i"), 0)  # a name is never markup
        self.assert_quiet()

    def test_policy_holds(self):
        self.open()
        self.run_("document.body.insertAdjacentHTML('beforeend', "
                  "'<img src=x onerror=\"window.breached = 1\"><script>window.breached = 1"
                  "</script>')")
        self.run_("const s = document.createElement('script'); s.textContent = "
                  "'window.breached = 1'; document.body.append(s)")
        self.run_("fetch('https://example.com/').catch(() => 0)")
        self.browser.wait("state.history.length > 1")
        self.assertIsNone(self.run_("window.breached"))
        self.assertTrue(any("Content Security Policy" in p for p in self.browser.problems))
        self.assertLess(len(BUILT[1]), 40000)


class RealServer(unittest.TestCase):
    """The page over `tandem serve`: routes, headers and /lanes as they are."""

    @classmethod
    def setUpClass(cls):
        cls.server = server_case.Server(models=(server_case.BERT, server_case.LABELS,
                                                server_case.MODULES))
        cls.browser = PAGE

    @classmethod
    def tearDownClass(cls):
        cls.browser.open("about:blank")
        wrong = cls.server.stop()
        if wrong:
            raise AssertionError(wrong)

    def choose(self, name):
        self.browser.run("(m => { m.value = [...m.options].findIndex(o => o.textContent === "
                         f"{name!r}); m.dispatchEvent(new Event('change')); }})"
                         "(document.getElementById('model'))")
        self.assertEqual(self.browser.run("model().name"), name)

    def test_page(self):
        self.browser.problems.clear()
        self.browser.view(1280, 900)
        self.browser.open(self.server.url)
        self.browser.wait(SHOWN)
        result = "document.getElementById('result').innerText"
        tried = "document.getElementById('try').requestSubmit()"
        for name, expected in [(server_case.BERT, "32 numbers"), (server_case.LABELS, "perhaps"),
                               (server_case.MODULES, "numbers")]:
            self.choose(pathlib.Path(name).name)
            self.browser.run("document.getElementById('result').replaceChildren()")
            self.browser.run(tried)
            self.browser.wait(f"{result}.includes('network and browser')")
            said = self.browser.run(result)
            self.assertIn(expected, said)
            self.assertRegex(said, r"^cpu \w+")
            self.assertRegex(said, r"infer \d+\.\d\d ms\s+rest of the server \d")
            self.browser.wait("document.querySelectorAll('#recent tr').length > 1")
        self.browser.wait("/^cpu/.test(document.querySelector('#lanes h3').textContent) && "
                          "state.history.length > 2")
        self.assertRegex(self.browser.text(), r"Not here: ane \(.+\)")
        self.assertNotIn("undefined", self.browser.text())
        self.assertNotIn("NaN", self.browser.text())
        self.assertEqual(self.browser.problems, [])
        headers = self.server.ask("GET", "/").headers
        self.assertEqual(headers["Content-Security-Policy"], BUILT[0]["Content-Security-Policy"])
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
