"""A headless Chromium, driven by its DevTools protocol as a reader's hands would."""

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
import urllib.request

import websocket

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CODES = {"Enter": 13, "Backspace": 8, "ArrowUp": 38, "ArrowRight": 39}
PATIENCE_S = 60


class Browser:
    """One tab."""

    def __init__(self, socket, requests):
        self.socket, self.numbers, self.requests, self.problems = socket, itertools.count(1), requests, []

    def call(self, method, **parameters):
        """What the protocol answers; what happens meanwhile is noted."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message):
        method, parameters = message.get("method", ""), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(parameters["exceptionDetails"])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(parameters["entry"]["text"])
        elif method == "Page.javascriptDialogOpening":
            self.socket.send(json.dumps({"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}))

    def open(self, path):
        """Load a file and wait until it is there."""
        self.call("Page.navigate", url=path.as_uri())
        self.wait("document.readyState === 'complete'")

    def evaluate(self, expression):
        """Value of an expression of JavaScript."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression):
        """Wait until an expression is true."""
        ends = time.monotonic() + PATIENCE_S
        while not self.evaluate(expression):
            assert time.monotonic() < ends, expression
            time.sleep(0.02)

    def text(self, selector):
        """What a person sees of an element."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def press(self, *keys):
        """Keys, one after another."""
        for key in keys:
            pressed = {"key": key, "windowsVirtualKeyCode": CODES.get(key, ord(key[0].upper()))}
            text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", **pressed, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def type(self, text):
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def centre(self, selector):
        """Where the middle of an element is, once it is in view."""
        script = f"""(() => {{
            const it = document.querySelector({json.dumps(selector)});
            it.scrollIntoView({{block: "nearest"}});
            const box = it.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
        return self.evaluate(script)

    def click(self, selector):
        """A click with the mouse."""
        x, y = self.centre(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def drag(self, selector, x, y, button="left"):
        """From the middle of an element by so many pixels."""
        left, top = self.centre(selector)
        held = {"left": 1, "right": 2}[button]
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=left, y=top, button=button, clickCount=1)
        moved = {"x": left + x, "y": top + y, "button": button, "buttons": held}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **moved)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=left + x, y=top + y, button=button, clickCount=1)

    def turn_wheel(self, selector, delta):
        """Over the middle of an element."""
        x, y = self.centre(selector)
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=delta)

    def size(self, width, height, *, mobile=False):
        """Of the window, in pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def screenshot(self, path):
        """PNG of what is seen."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextlib.contextmanager
def browser(profile, downloads):
    """A browser with its profile in one folder, that saves files to another; closed at the end."""
    options = ["--headless=new", "--remote-debugging-port=0", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    options += ["--disable-background-networking", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
    port = profile / "DevToolsActivePort"
    port.unlink(missing_ok=True)
    process = subprocess.Popen(
        [CHROMIUM, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ends = time.monotonic() + PATIENCE_S
        while not (port.is_file() and port.read_text().strip()):
            assert time.monotonic() < ends, "Chromium does not start"
            time.sleep(0.05)
        address = f"http://127.0.0.1:{port.read_text().split()[0]}/json/list"
        with urllib.request.urlopen(address) as answer:
            (tab,) = [item for item in json.load(answer) if item["type"] == "page"]
        with contextlib.closing(websocket.create_connection(tab["webSocketDebuggerUrl"], timeout=PATIENCE_S,
                                                            suppress_origin=True)) as socket:  # fmt: skip
            made = Browser(socket, [])
            for domain in ("Page", "Runtime", "Network", "Log"):
                made.call(f"{domain}.enable")
            made.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
            yield made
            with contextlib.suppress(Exception):
                made.call("Browser.close")
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)
