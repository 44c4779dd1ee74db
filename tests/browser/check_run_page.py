#!/usr/bin/env python3
"""Watches a run of three workers on the page of `coordinator --http` in headless Chromium, and disturbs it.

    cargo build --release
    tests/browser/check_run_page.py target/release --shots /tmp/shots [--axe axe.min.js]

Needs Chromium (Debian's `chromium`) and nothing else; the data set is the embedded one. The page must be there
before the first step; its curves must grow; a killed worker must show as gone within 5 seconds, with its
reason, and a newcomer must appear; a killed coordinator must be noticed; after its restart the history must be
whole; at the end there must be the test. It may log no error, ask nobody else, and must fit into a phone's
width. The keyboard alone must reach everything. With --axe (the file axe.min.js of npm's axe-core) no problem
that axe finds may be serious. With --shots it leaves screenshots: wide, narrow, light and dark.
"""

import argparse
import base64
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

from browser import Browser, find_chromium

# Long enough to be disturbed, small enough for any machine: some 20 ms a step.
FLAGS = ["--dataset", "digits", "--model", "mlp", "--hidden", "512,256", "--epochs", "120", "--max-steps", "2000", "--checkpoint-every", "50",
         "--heartbeat-timeout", "2", "--progress", "off"]
GONE_WITHIN = 5.0
PATIENCE = 60.0


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Run:
    """A coordinator and its workers, ended with it."""

    def __init__(self, programs, folder):
        self.programs, self.folder = programs, folder
        self.port, self.http = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http}"
        self.workers, self.log = {}, open(folder / "log", "ab")
        self.coordinator = None

    def start(self):
        flags = ["--workers", "1:3", "--bind", f"127.0.0.1:{self.port}", "--http", f"127.0.0.1:{self.http}",
                 "--run-dir", str(self.folder / "run")]
        self.coordinator = self.spawn("coordinator", *flags, *FLAGS)

    def work(self, name):
        self.workers[name] = self.spawn("worker", "--connect", f"127.0.0.1:{self.port}", "--name", name, "--threads", "1")

    def spawn(self, program, *args):
        return subprocess.Popen([self.programs / program, *args], stdout=self.log, stderr=self.log)

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self):
        for process in [self.coordinator, *self.workers.values()]:
            if process and process.poll() is None:
                self.kill(process)


class Page:
    def __init__(self, browser, shots, axe):
        self.browser, self.shots, self.axe = browser, shots, axe

    def open(self, url):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    sys.exit("the page is not served")
                time.sleep(0.05)
        self.browser.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && document.querySelectorAll('#figures figure').length === 6", "the charts are there")

    def wait(self, code, what, patience=PATIENCE):
        """Waits until the code is true, and returns for how long."""
        begun = time.monotonic()
        while not self.browser.evaluate(code):
            if time.monotonic() - begun > patience:
                sys.exit(f"waited in vain until {what}:\n{self.browser.evaluate('document.body.innerText')}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def text(self, selector):
        return self.browser.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def steps(self):
        """Points of the loss chart, as its label has them."""
        label = self.browser.evaluate("document.querySelector('.chart').getAttribute('aria-label')")
        return int(label.split(" over ")[1].split(" ")[0])

    def shoot(self, name, width, height, dark=False, phone=False):
        self.browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1.5, mobile=phone)
        self.browser.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        time.sleep(1.2)
        wide = self.browser.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            sys.exit(f"{name}: the page is {wide} wide, and the window {width}")
        self.examine(name)
        if self.shots:
            shot = self.browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
            (self.shots / f"run-{name}.png").write_bytes(base64.b64decode(shot["data"]))
        print(f"{name}: fits", flush=True)

    def shoot_all(self, name):
        self.shoot(f"{name}-narrow", 390, 844, phone=True)
        self.shoot(f"{name}-narrow-dark", 390, 844, dark=True, phone=True)
        self.shoot(f"{name}-dark", 1440, 900, dark=True)
        self.shoot(f"{name}-wide", 1440, 900)

    def examine(self, name):
        """Has axe look for what bars people from the page."""
        if not self.axe:
            return
        self.browser.evaluate(self.axe.read_text())
        code = ("axe.run().then(found => JSON.stringify(found.violations.map(({id, impact, nodes}) => "
                "[id, impact, nodes.map(node => node.html).slice(0, 3)])))")
        found = self.browser.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        violations = json.loads(found["result"]["value"])
        if serious := [own for own in violations if own[1] in ("serious", "critical")]:
            sys.exit(f"{name}: axe: {serious}")
        print(f"{name}: axe finds {len(violations)} minor problems {[own[0] for own in violations]}", flush=True)

    def press(self, key, **more):
        for kind in ["keyDown", "keyUp"]:
            self.browser.call("Input.dispatchKeyEvent", type=kind, key=key, **more)

    def by_keyboard(self):
        """Goes through the page by Tab, and uses what it comes to."""
        self.browser.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        wanted = self.browser.evaluate(
            "[...document.querySelectorAll('a, input:checked, input[type=range], summary, [tabindex=\"0\"]')]"
            ".filter(own => own.checkVisibility()).length")
        seen = []
        for _ in range(3 * wanted):
            self.press("Tab", windowsVirtualKeyCode=9)
            now = self.browser.evaluate(
                "(own => `${own.tagName} ${own.id} ${own.getAttribute('aria-label') ?? own.textContent.slice(0, 20)} ${own.value ?? ''}`)(document.activeElement)")
            if seen and now == seen[0]:
                break
            seen.append(now)
        reached = [own for own in seen if not own.startswith("BODY")]
        if len(reached) < wanted:
            sys.exit(f"of {wanted} elements Tab reaches {len(reached)}: {reached}")
        self.browser.evaluate("document.querySelector('.chart').focus()")
        self.press("ArrowLeft", windowsVirtualKeyCode=37)
        self.wait("document.getElementById('values').textContent.startsWith('Loss')", "the arrow keys read the chart")
        print(f"keyboard: reaches {len(reached)} elements; {self.text('#values')}", flush=True)


def row(name):
    return f"[...document.querySelectorAll('#workers tbody tr')].find(row => row.children[0].textContent === '{name}')"


def watch(run, page):
    run.start()
    page.open(run.url)
    page.wait("document.getElementById('state').textContent === 'waiting for workers'", "workers are waited for")
    print("the page is there before the first step", flush=True)
    for name in ["w1", "w2", "w3"]:
        run.work(name)
    page.wait(f"[{', '.join(row(name) for name in ['w1', 'w2', 'w3'])}].every(row => row)", "three workers are shown")
    page.wait("document.querySelector('.chart').getAttribute('aria-label').includes('validation')", "there is a validation")
    before = page.steps()
    time.sleep(2)
    if page.steps() <= before:
        sys.exit("the curves do not grow")
    print(f"the curves grow: {before} points, and {page.steps()} two seconds later", flush=True)

    run.kill(run.workers["w2"])
    took = page.wait(f"{row('w2')}.className === 'gone'", "the killed worker is gone")
    why = page.browser.evaluate(f"{row('w2')}.children[1].textContent")
    if took > GONE_WITHIN or "dropped" not in why:
        sys.exit(f"a killed worker is gone after {took:.1f} s: {why}")
    print(f"a killed worker is gone after {took:.1f} s: {why}", flush=True)
    run.work("w4")
    page.wait(f"{row('w4')}?.children[1].textContent.startsWith('member')", "the newcomer is a member")
    page.by_keyboard()
    page.shoot_all("training")

    steps = page.steps()
    logged = len(page.browser.problems)
    run.kill(run.coordinator)
    page.wait("!document.getElementById('stale').hidden", "silence is noticed")
    print(f"a killed coordinator is noticed: {page.text('#stale')}", flush=True)
    run.start()
    page.wait("document.getElementById('stale').hidden", "it is back")
    # The browser logs by itself that nobody was there.
    page.browser.problems[logged:] = [own for own in page.browser.problems[logged:] if "ERR_" not in own]
    page.wait("document.getElementById('state').textContent === 'training'", "it trains again")
    page.wait(f"{row('w1')}?.className === 'member'", "the workers are back")
    after = page.browser.evaluate("fetch('/api/run').then(run => run.json()).then(run => window.history_ = run), 0")
    page.wait("window.history_", "the history is there")
    kinds = page.browser.evaluate("history_.marks.map(mark => mark.kind).join()")
    first = page.browser.evaluate("history_.curve.step[0]")
    stays = page.browser.evaluate("Object.fromEntries(history_.status.workers.map(row => [row.name, row.stays.length]))")
    whole = page.browser.evaluate("history_.evaluations.map(own => own.step).join()")
    if first > 1 or not kinds.startswith("start,") or "restart" not in kinds or stays.get("w2") != 1 or not whole:
        sys.exit(f"the history is not whole: {after} {first} {kinds} {stays} {whole}")
    print(f"after the restart the history is whole: {steps} points before, {page.steps()} now; {stays}", flush=True)
    page.browser.evaluate("document.querySelector('input[value=whole]').click()")
    page.wait("!document.getElementById('test').hidden", "the test is shown", patience=300)
    page.wait("!document.getElementById('mistaken').hidden", "the worst mistakes are shown")
    if page.browser.evaluate("[...document.querySelectorAll('#mistakes img')].filter(own => own.naturalWidth).length") < 1:
        sys.exit("no mistake has its picture")
    page.shoot_all("tested")
    if (code := run.coordinator.wait(60)) != 0:
        sys.exit(f"the coordinator ended with {code}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", type=pathlib.Path, help="folder of coordinator and worker")
    parser.add_argument("--shots", type=pathlib.Path, help="folder for screenshots")
    parser.add_argument("--axe", type=pathlib.Path, help="axe.min.js of npm's axe-core")
    parser.add_argument("--chromium", default=find_chromium())
    args = parser.parse_args()
    if not args.chromium:
        sys.exit("there is no chromium; install it, or name one with --chromium")
    if args.shots:
        args.shots.mkdir(parents=True, exist_ok=True)
    browser = Browser(args.chromium)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(args.programs.resolve(), pathlib.Path(folder))
        try:
            watch(run, Page(browser, args.shots, args.axe))
        finally:
            run.close()
            browser.close()
    others = {asked for asked in browser.asked if not asked.startswith((run.url, "data:", "about:"))}
    if others or browser.problems:
        sys.exit(f"asked elsewhere: {others}; problems: {browser.problems}")
    print("all seen; no error was logged, and nobody else was asked")


if __name__ == "__main__":
    main()
