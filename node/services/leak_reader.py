"""Reading a leak in a child process that is bounded in memory and time (`node/leakchild.py`).

Rule: no byte of a leak is parsed in this process. A file that makes the child crash, loop or swallow memory says nothing, and the
answer says so; its hash can still be known.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Final

import msgspec

from ledger.decoders import decode_json
from ledger.errors import Busy, Unavailable
from node.leaktext import LeakText

READ_SECONDS_MAX: Final = 30
READ_MEMORY_BYTES_MAX: Final = 2 << 30
READS_WAITING_MAX: Final = 4
RETRY_AFTER_S: Final = 5
NOT_READ: Final = "the file cannot be read within the time and memory allowed"


class LeakReader:
    """Reads leaks, one after the other."""

    def __init__(self, seconds_max: float = READ_SECONDS_MAX) -> None:
        self._seconds_max = seconds_max
        self._alone = asyncio.Lock()
        self._waiting = 0

    async def read(self, data: bytes) -> LeakText:
        """What a file says.

        Raises:
            Busy: too many files wait already.
            Unavailable: no child can be started.
        """
        if self._waiting >= READS_WAITING_MAX:
            raise Busy(what="reading of leaks", retry_after_s=RETRY_AFTER_S)
        self._waiting += 1
        try:
            async with self._alone:
                return await self._read(data)
        finally:
            self._waiting -= 1

    async def _read(self, data: bytes) -> LeakText:
        command = (
            sys.executable,
            "-P",
            "-m",
            "node.leakchild",
            str(READ_MEMORY_BYTES_MAX),
            str(READ_SECONDS_MAX),
        )
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise Unavailable(what="reading of leaks", reason=error.strerror or str(error)) from None
        try:
            async with asyncio.timeout(self._seconds_max):
                answer, _ = await child.communicate(data)
            if child.returncode == 0:
                return decode_json(answer, LeakText)
        except (TimeoutError, msgspec.MsgspecError):
            pass
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        return LeakText(note=NOT_READ)
