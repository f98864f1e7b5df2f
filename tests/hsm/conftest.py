"""A token of SoftHSM2 for every test, in a folder of its own. Without SoftHSM2 the tests fail, and say what to install."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from ledger.crypto.token import Token
from tests.keeping import passphrase_file
from zhenglian.unlocking import Sources, sources, use_sources

MODULES: Final = tuple(
    Path(folder) / "libsofthsm2.so"
    for folder in (
        "/usr/lib/softhsm",
        "/usr/lib/x86_64-linux-gnu/softhsm",
        "/usr/lib/aarch64-linux-gnu/softhsm",
    )
)
LABEL: Final = "operator"
PIN: Final = "48151623"
SECURITY_OFFICER_PIN: Final = "42424242"


@dataclass(frozen=True)
class Slot:
    """A token as its operator has it.

    Attributes:
        module: the library.
        pin_file: holds the PIN.
        folder: where the token lies; while it is moved away, the token is pulled out.
    """

    module: Path
    pin_file: Path
    folder: Path

    def login(self, pin: str = PIN, label: str = LABEL) -> Token:
        return Token(self.module, label, pin)

    def pull_out(self) -> None:
        self.folder.rename(self.folder.with_name("pulled-out"))

    def put_back(self) -> None:
        self.folder.with_name("pulled-out").rename(self.folder)


@pytest.fixture
def slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slot:
    module = next((path for path in MODULES if path.exists()), None)
    program = shutil.which("softhsm2-util")
    if module is None or program is None:
        pytest.fail("SoftHSM2 is not here. Debian: apt-get install softhsm2. Or run: make hsm")
    folder = tmp_path / "tokens"
    folder.mkdir()
    settings = tmp_path / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(settings))
    pins = ("--pin", PIN, "--so-pin", SECURITY_OFFICER_PIN)
    subprocess.run(
        [program, "--init-token", "--free", "--label", LABEL, *pins], check=True, capture_output=True
    )
    _forget_tokens(module)
    return Slot(module, passphrase_file(tmp_path, PIN, "pin"), folder)


def _forget_tokens(module: Path) -> None:
    """The library reads its settings once for a process, unless it is begun anew."""
    import pkcs11

    pkcs11.lib(str(module)).reinitialize()


@pytest.fixture(autouse=True)
def own_sources(slot: Slot) -> Iterator[Sources]:
    """The program's sources name the token's library and PIN."""
    before = sources()
    chosen = Sources(pin_file=slot.pin_file, module=slot.module, environment={})
    use_sources(chosen)
    yield chosen
    use_sources(before)
