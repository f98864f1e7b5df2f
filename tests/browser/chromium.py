"""Chromium by its DevTools protocol, as far as the tests need it: a page, its functions, and a virtual authenticator.

Rule: the browser is a process of its own with a folder of its own, and is ended by its id. What a page throws, the test raises.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
START_S: Final = 60.0
# What a page's promise may take: a transaction to be final, and a slow machine.
ANSWER_S: Final = 60.0


class PageError(Exception):
    """A page's function threw."""


def found() -> str | None:
    """Where Chromium is, if it is here."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


class Page:
    """One page, and the commands that the browser takes for it; `device` is the id of its authenticator."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self.device = ""

    async def command(self, method: str, **params: object) -> dict[str, Any]:
        """A DevTools command and its answer."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(ANSWER_S):
            while True:
                message = json.loads(await self._socket.receive_str())
                if message.get("id") == number:
                    if "error" in message:
                        raise PageError(f"{method}: {message['error']}")
                    return message["result"]

    async def open(self, url: str) -> None:
        """Go to an address and wait until its module has run."""
        await self.command("Page.enable")
        await self.command("Page.navigate", url=url)
        await self.run(
            "new Promise((done) => { const look = () => "
            "globalThis.passkeys ? done(true) : setTimeout(look, 20); look(); })"
        )

    async def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited. Raises PageError."""
        answer = await self.command(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"].get("exception", {})
            raise PageError(thrown.get("description") or json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def call(self, function: str, *args: object) -> Any:
        """A function of the page with JSON arguments."""
        given = ", ".join(json.dumps(arg) for arg in args)
        return await self.run(f"passkeys.{function}({given})")

    async def authenticator(self, *, verified: bool = True, resident: bool = True) -> str:
        """A phone's own authenticator, which says yes at once; its id."""
        await self.command("WebAuthn.enable")
        made = await self.command(
            "WebAuthn.addVirtualAuthenticator",
            options={
                "protocol": "ctap2",
                "ctap2Version": "ctap2_1",
                "transport": "internal",
                "hasResidentKey": resident,
                "hasUserVerification": True,
                "isUserVerified": verified,
                "automaticPresenceSimulation": True,
            },
        )
        self.device = str(made["authenticatorId"])
        return self.device


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Page]:
    """A browser with one empty page; gone at the end.

    Args:
        folder: for its profile; empty.
    """
    program = found()
    if program is None:
        raise FileNotFoundError("Chromium is needed: apt-get install chromium")
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--no-proxy-server",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        port = await asyncio.wait_for(_port(process), START_S)
        async with aiohttp.ClientSession(trust_env=False) as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            url = pages[0]["webSocketDebuggerUrl"]
            async with session.ws_connect(url, max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _port(process: asyncio.subprocess.Process) -> int:
    """The port that the browser says it listens at."""
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode(errors="replace"):
        if "DevTools listening on ws://" in line:
            return int(line.partition("127.0.0.1:")[2].partition("/")[0])
    raise ConnectionError("Chromium ended at once")
