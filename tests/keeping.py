"""A passphrase for tests, at the least cost there is: what it locks is real, what it costs is nothing."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from ledger.crypto.at_rest import COST_LEAST
from node.identity import InFiles
from zhenglian.unlocking import PASSPHRASE_VARIABLE, Passphrase, Sources

WORDS: Final = "correct horse battery staple 马"
KEEPING: Final = InFiles(Passphrase(WORDS), COST_LEAST)


def passphrase_file(folder: Path, words: str = WORDS, name: str = "words") -> Path:
    """A file with the passphrase, for the owner only."""
    path = folder / name
    path.write_text(words + "\n")
    path.chmod(0o600)
    return path


def sources_with(path: Path | None) -> Sources:
    """Sources that have this file and nothing else."""
    return Sources(passphrase_file=path, environment={})


@cache
def lend_passphrase() -> None:
    """Name a file with the passphrase in this process's environment, and so in that of every node and command it starts."""
    folder = Path(tempfile.mkdtemp(prefix="zhenglian-words-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[PASSPHRASE_VARIABLE] = str(passphrase_file(folder))
