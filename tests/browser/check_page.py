#!/usr/bin/env python3
"""Draws digits on the page of `lockstep serve` in headless Chromium, and checks what it answers.

    ./target/release/lockstep serve --checkpoint checkpoints &
    tests/browser/check_page.py http://127.0.0.1:8080 --shots /tmp/shots

With `--http 0.0.0.0:8080` the server prints an address that begins with https and has a token: that one does as well.

Needs Chromium (Debian's `chromium`) and a model of digits, and nothing else: it speaks the DevTools protocol
over two pipes. Digits are drawn with the mouse, with a finger, in a row, and given as files. Each scene must
read what was drawn, fit into its width, log no error, and ask no other server. With --shots it leaves a
screenshot of each.
"""

import argparse
import base64
import json
import math
import pathlib
import sys
import tempfile
import time
import urllib.parse

from browser import Browser, find_chromium


def arc(x, y, rx, ry, begin, end, steps=24):
    """Points on an ellipse, from one angle to another in degrees; 0 is right, 90 below."""
    angles = [math.radians(begin + (end - begin) * i / steps) for i in range(steps + 1)]
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


# Strokes on a sheet of 1 by 1.
DIGITS = {
    "0": [arc(0.5, 0.5, 0.18, 0.3, -90, 270)],
    "1": [[(0.5, 0.2), (0.5, 0.8)]],
    "2": [arc(0.5, 0.36, 0.18, 0.17, -170, 30) + [(0.33, 0.8), (0.7, 0.8)]],
    "3": [arc(0.48, 0.35, 0.17, 0.15, -150, 90) + arc(0.48, 0.65, 0.2, 0.16, -90, 150)],
    "5": [[(0.66, 0.2), (0.38, 0.2), (0.36, 0.47)] + arc(0.48, 0.62, 0.19, 0.18, -130, 150)],
    "7": [[(0.3, 0.22), (0.7, 0.22), (0.45, 0.8)]],
}


class Scene:
    """The page in one width, theme and way to point."""

    def __init__(self, browser, url, shots, name, width, height, dark=False, touch=False):
        self.browser, self.shots, self.name, self.touch = browser, shots, name, touch
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2,
                     mobile=touch)
        browser.call("Emulation.setTouchEmulationEnabled", enabled=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.call("Emulation.setEmulatedMedia", features=[scheme])
        browser.call("Page.navigate", url=url)
        browser.wait("document.readyState === 'complete' && document.getElementById('about').textContent !== ''",
                     "the page is there")
        self.width = width

    def draw(self, digit, left=0.0):
        """Draws a digit; `left` is where its sheet begins, in heights of the paper."""
        box = self.browser.evaluate(
            "document.getElementById('canvas').scrollIntoView({block: 'center'});"
            "(({x, y, height}) => [x, y, height])(document.getElementById('canvas').getBoundingClientRect())")
        for stroke in DIGITS[digit]:
            points = [(box[0] + (left + x) * box[2], box[1] + y * box[2]) for x, y in stroke]
            points = [between for a, b in zip(points, points[1:]) for between in self.line(a, b)]
            self.point("down", points[0])
            for place in points:
                self.point("move", place)
            self.point("up", points[-1])

    @staticmethod
    def line(a, b, steps=4):
        return [(a[0] + (b[0] - a[0]) * i / steps, a[1] + (b[1] - a[1]) * i / steps) for i in range(1, steps + 1)]

    def point(self, what, place):
        x, y = place
        if self.touch:
            kind = {"down": "touchStart", "move": "touchMove", "up": "touchEnd"}[what]
            points = [] if what == "up" else [{"x": x, "y": y}]
            self.browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        else:
            kind = {"down": "mousePressed", "move": "mouseMoved", "up": "mouseReleased"}[what]
            self.browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left",
                              buttons=0 if what == "up" else 1, clickCount=1)

    def click(self, element):
        self.browser.evaluate(f"document.querySelector({json.dumps(element)}).click()")

    def choose(self, path):
        document = self.browser.call("DOM.getDocument")["root"]["nodeId"]
        node = self.browser.call("DOM.querySelector", nodeId=document, selector="#file")["nodeId"]
        self.browser.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def expect(self, text, element="#class"):
        code = f"document.querySelector({json.dumps(element)}).textContent.includes({json.dumps(text)})"
        self.browser.wait(code + " && !document.querySelector('.waits')", f"{self.name} shows {text}")

    def finish(self):
        wide = self.browser.evaluate("document.documentElement.scrollWidth")
        if wide > self.width:
            sys.exit(f"{self.name}: the page is {wide} wide, and the window {self.width}")
        if self.shots:
            time.sleep(0.4)  # Bars grow for a moment.
            shot = self.browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
            (self.shots / f"{self.name}.png").write_bytes(base64.b64decode(shot["data"]))
        print(f"{self.name}: ok")


def scenes(browser, url, shots, folder):
    scene = Scene(browser, url, shots, "mouse", 1280, 900)
    for digit in DIGITS:
        scene.draw(digit)
        scene.expect(digit)
        if digit != "7":
            scene.click("#clear")
            scene.expect("The answer comes", "#note")
    scene.finish()

    # What is on the paper, as a file.
    clip = browser.evaluate("(({x, y, width, height}) => ({x: x + 4, y: y + 4, width: width - 8, height: height - 8, "
                            "scale: 1}))(document.getElementById('canvas').getBoundingClientRect())")
    shot = browser.call("Page.captureScreenshot", format="jpeg", clip=clip)
    path = folder / "seven.jpg"
    path.write_bytes(base64.b64decode(shot["data"]))
    scene = Scene(browser, url, shots, "file", 1280, 900, dark=True)
    scene.choose(path)
    scene.expect("7")
    scene.finish()
    broken = folder / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n...")
    logged = len(browser.problems)
    scene = Scene(browser, url, shots, "broken", 390, 844)
    scene.choose(broken)
    scene.expect("damaged", "#note")
    scene.finish()
    # The browser logs the status 400 by itself.
    browser.problems[logged:] = [problem for problem in browser.problems[logged:] if "400" not in problem]

    for name, dark in [("touch", False), ("touch-dark", True)]:
        scene = Scene(browser, url, shots, name, 390, 844, dark=dark, touch=True)
        scene.draw("3")
        scene.expect("3")
        scene.finish()
    for name, width, touch in [("row", 1280, False), ("row-touch", 390, True)]:
        scene = Scene(browser, url, shots, name, width, 900, touch=touch)
        scene.click("input[value=row]")
        for place, digit in enumerate("702"):
            scene.draw(digit, left=0.2 + 0.6 * place)
        scene.expect("702")
        scene.finish()
    scene = Scene(browser, url, shots, "empty", 390, 844)
    scene.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--shots", type=pathlib.Path, help="folder for screenshots")
    parser.add_argument("--chromium", default=find_chromium())
    args = parser.parse_args()
    if not args.chromium:
        sys.exit("there is no chromium; install it, or name one with --chromium")
    if args.shots:
        args.shots.mkdir(parents=True, exist_ok=True)
    browser = Browser(args.chromium)
    server = urllib.parse.urlsplit(args.url)
    try:
        if server.scheme == "https":
            # The server's certificate is its own.
            browser.call("Security.setIgnoreCertificateErrors", ignore=True)
        with tempfile.TemporaryDirectory() as folder:
            scenes(browser, args.url, args.shots, pathlib.Path(folder))
    finally:
        browser.close()
    own = f"{server.scheme}://{server.netloc}/"
    others = {asked for asked in browser.asked if not asked.startswith((own, "data:", "blob:", "about:"))}
    if others or browser.problems:
        sys.exit(f"asked elsewhere: {others}; problems: {browser.problems}")


if __name__ == "__main__":
    main()
