"""A Chrome or Chromium of this machine, driven over a pipe: what a page does when it is opened.

It is told what to do by messages of JSON that end in a zero byte, the Chrome DevTools Protocol
(https://chromedevtools.github.io/devtools-protocol/), so that no further package is needed.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from typing import Any

NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
    "chrome-headless-shell", "headless_shell", "microsoft-edge",
)  # fmt: skip
"""What the program is called, here and there; ``CHROME_PATH`` names one that is not on the path."""

LONGEST_S = 30.0  # A browser that does not answer for so long hangs.

_OPTIONS = (
    "--headless", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--disable-gpu",
    "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking",
    "--disable-component-update", "--no-default-browser-check", "--hide-scrollbars",
)  # fmt: skip

Message = dict[str, Any]


def find_browser() -> str | None:
    """Return the path of a browser, or None if there is none."""
    named = os.environ.get("CHROME_PATH")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A browser with one page.

    Args:
        program: path of the browser.
        folder: an empty folder for what it keeps.

    Attributes:
        events: what the page did, in the order of time.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.events: list[Message] = []
        self._count, self._rest, self._session = 0, b"", ""
        # The browser reads from descriptor 3 and writes to 4; above them nothing is in the way.
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        moved = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10) for number in (commands, answers)]
        for number in (commands, answers):
            os.close(number)
        silent = [(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_RDWR, 0) for n in (0, 1, 2)]
        pipes = [(os.POSIX_SPAWN_DUP2, number, n) for n, number in zip((3, 4), moved, strict=True)]
        arguments = [program, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        self._process = os.posix_spawn(
            program, arguments, {**os.environ, "HOME": str(folder)},
            file_actions=[*silent, *pipes], setpgroup=0,
        )  # fmt: skip
        for number in moved:
            os.close(number)
        targets = self.send("Target.getTargets")["targetInfos"]
        (page,) = [target["targetId"] for target in targets if target["type"] == "page"]
        attached = self.send("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Message:
        """Return the answer to a command.

        Raises:
            RuntimeError: the browser refuses it, or has ended.
            TimeoutError: it does not answer.
        """
        self._count += 1
        message: Message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: Message = answer["result"]
                return result
            self.events.append(answer)

    def show(self, page: Path, width: int = 1200, height: int = 900) -> None:
        """Open a page in a window of this size, in pixels, and wait until it is whole."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        first = len(self.events)
        self.send("Page.navigate", url=page.resolve().as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events[first:]):
            self.events.append(self._receive())

    def value(self, script: str) -> Any:
        """Return what an expression of JavaScript is in the page.

        Raises:
            RuntimeError: it fails.
        """
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def named(self, *methods: str) -> list[Message]:
        """Return what is known of the events of these names."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def close(self) -> None:
        """End the browser, and whatever it has started."""
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._commands)
        os.close(self._answers)

    def _receive(self) -> Message:
        end = time.monotonic() + LONGEST_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError(f"the browser did not answer for {LONGEST_S:.0f} s")
            part = os.read(self._answers, 1 << 16)
            if not part:
                raise RuntimeError("the browser has ended")
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message: Message = json.loads(text)
        return message
