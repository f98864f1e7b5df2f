"""Runs one input and decides whether what happened was a finding.

Rule: an input ends within INPUT_TIMEOUT_S by returning or by one of its target's errors, whose words are bounded in both languages;
it takes no more memory than a bound that grows with its length; and a whole run does not grow the process beyond GROWTH_BYTES_MAX.
"""

from __future__ import annotations

import signal
import sys
import traceback
import tracemalloc
from pathlib import Path
from types import FrameType
from typing import Final

from ledger.errors import LedgerError
from tests.fuzz import corpus
from tests.fuzz.target import Target

# Generous: on a busy machine the slowest honest input takes a tenth of a second.
INPUT_TIMEOUT_S: Final = 10.0
ERROR_TEXT_CHARS_MAX: Final = 1024
PEAK_BYTES_MAX: Final = 16 * 1024 * 1024
PEAK_BYTES_PER_INPUT_BYTE: Final = 512
GROWTH_BYTES_MAX: Final = 96 * 1024 * 1024
# Each so manieth input is measured, because measuring is slow.
MEASURED_EVERY: Final = 64


class Hang(BaseException):
    """An input took longer than INPUT_TIMEOUT_S; no handler of `Exception` swallows it."""


class Finding(Exception):
    """An input did what no input may do."""

    def __init__(self, target: str, data: bytes, reason: str, *, slow: bool = False) -> None:
        super().__init__(f"{target}: {reason}")
        self.slow = slow
        self.target = target
        self.data = data
        self.reason = reason

    def save(self) -> Path:
        """Keep the input, with what it did beside it."""
        path = corpus.save(corpus.CRASHES, self.data, prefix=f"{self.target}-")
        path.with_name(path.name + ".txt").write_text(f"{self.reason}\n{replay_command(self.target, path)}\n")
        return path


def replay_command(target: str, path: Path) -> str:
    return f"python -m tests.fuzz --target {target} --replay {path}"


def resident_bytes() -> int:
    """Memory of this process."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * 4096


def _ring(_number: int, _frame: FrameType | None) -> None:
    raise Hang


class Watch:
    """Watches over the inputs of one target.

    Attributes:
        inputs: how many have been run.
    """

    def __init__(self, target: Target, *, measure: bool = True) -> None:
        self.target = target
        self.inputs = 0
        self._measure = measure
        signal.signal(signal.SIGALRM, _ring)

    def run(self, data: bytes) -> None:
        """Run one input.

        Raises:
            Finding: it broke a rule.
        """
        self.inputs += 1
        measured = self._measure and self.inputs % MEASURED_EVERY == 0
        if measured:
            tracemalloc.start()
        signal.setitimer(signal.ITIMER_REAL, INPUT_TIMEOUT_S)
        try:
            self.target.run(data)
        except self.target.errors as error:
            self._check_words(error, data)
        except Hang:
            reason = f"not done after {INPUT_TIMEOUT_S:.0f} s\n{traceback.format_exc()[-2000:]}"
            raise Finding(self.target.name, data, reason, slow=True) from None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            reason = "".join(traceback.format_exception(error)[-6:])
            raise Finding(self.target.name, data, reason) from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            peak = tracemalloc.get_traced_memory()[1] if measured else 0
            if measured:
                tracemalloc.stop()
        if peak > PEAK_BYTES_MAX + PEAK_BYTES_PER_INPUT_BYTE * len(data):
            raise Finding(self.target.name, data, f"{peak} bytes of memory for {len(data)} bytes of input")

    def _check_words(self, error: Exception, data: bytes) -> None:
        """Bad input gets a clear, bounded error."""
        words = [error.message("zh"), error.message("en")] if isinstance(error, LedgerError) else [str(error)]
        longest = max(map(len, words))
        if longest > ERROR_TEXT_CHARS_MAX:
            raise Finding(self.target.name, data, f"an error of {longest} characters: {words[-1][:100]} …")


def say(text: str) -> None:
    """One line for the reader, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
