"""Where passphrases and PINs come from: a file that is named, the environment, the service manager, the terminal, in this order.

    passphrase   --passphrase-file   ZHENGLIAN_PASSPHRASE_FILE   $CREDENTIALS_DIRECTORY/zhenglian-passphrase   asked
    PIN          --pin-file          ZHENGLIAN_PIN_FILE          $CREDENTIALS_DIRECTORY/zhenglian-pin          asked
    module       --pkcs11-module     ZHENGLIAN_PKCS11_MODULE

Rule: neither is ever an argument, an environment variable's own value, or in a log line or representation. A source that is named
and cannot be used is an error; the next is not tried for it. A key file never names the library that is loaded for it.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ledger.crypto.token import Token
from zhenglian.errors import (
    ModuleNeeded,
    NewPassphraseNeeded,
    PassphraseNeeded,
    PassphraseUnusable,
    PinNeeded,
)

if TYPE_CHECKING:
    from zhenglian.keyring import Keyring

PASSPHRASE_SIZE_BYTES_MAX: Final = 1024
# Characters of a new one; one that exists may be shorter.
PASSPHRASE_LENGTH_MIN: Final = 12
PASSPHRASE_VARIABLE: Final = "ZHENGLIAN_PASSPHRASE_FILE"  # noqa: S105 - names, not secrets
PASSPHRASE_CREDENTIAL: Final = "zhenglian-passphrase"  # noqa: S105
PIN_VARIABLE: Final = "ZHENGLIAN_PIN_FILE"
PIN_CREDENTIAL: Final = "zhenglian-pin"
MODULE_VARIABLE: Final = "ZHENGLIAN_PKCS11_MODULE"
_OTHERS: Final = stat.S_IRWXO
_GROUP_AND_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

Ask = Callable[[str, str], str]


class Passphrase:
    """A passphrase or PIN in memory: shown nowhere, and overwritten by `wipe` as far as Python lets it.

    Args:
        text: as it was typed; composed by Unicode's form C, so that every keyboard gives the same bytes.
        source: where it came from, for messages.

    Raises:
        PassphraseUnusable: empty or too long.
    """

    __slots__ = ("_data", "source")

    def __init__(self, text: str, source: str = "argument") -> None:
        data = bytearray(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass"))
        if not 1 <= len(data) <= PASSPHRASE_SIZE_BYTES_MAX:
            raise PassphraseUnusable(
                source=source,
                reason_zh=f"应为 1 至 {PASSPHRASE_SIZE_BYTES_MAX} 字节",
                reason_en=f"it must have 1 to {PASSPHRASE_SIZE_BYTES_MAX} bytes",
            )
        self._data = data
        self.source = source

    def reveal(self) -> bytes:
        """The bytes that a key is derived from."""
        return bytes(self._data)

    def wipe(self) -> None:
        """Overwrite it; copies that libraries made are out of reach."""
        for index in range(len(self._data)):
            self._data[index] = 0

    def require_new(self) -> Passphrase:
        """Itself, if a key may be locked with it. Raises PassphraseUnusable when it is too short."""
        if len(self._data.decode("utf-8", "surrogatepass")) < PASSPHRASE_LENGTH_MIN:
            raise PassphraseUnusable(
                source=self.source,
                reason_zh=f"新口令至少 {PASSPHRASE_LENGTH_MIN} 个字符",
                reason_en=f"a new one has at least {PASSPHRASE_LENGTH_MIN} characters",
            )
        return self

    def __repr__(self) -> str:
        return "Passphrase(…)"


class Sources:
    """The sources of one program.

    Args:
        passphrase_file, pin_file, module: what the command line names.
        ask: asks a person, in zh and en, and returns the answer without having shown it; None where nobody can be asked.
        environment: variables.

    Attributes:
        keyrings: what these sources have opened, by path and id, so that a passphrase is stretched once for a program.
    """

    def __init__(
        self,
        *,
        passphrase_file: Path | None = None,
        pin_file: Path | None = None,
        module: Path | None = None,
        ask: Ask | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._passphrase_file = passphrase_file
        self._pin_file = pin_file
        self._module = module
        self._ask = ask
        self._environment = os.environ if environment is None else environment
        self._typed: dict[str, Passphrase] = {}
        self._tokens: dict[tuple[str, str], Token] = {}
        self.keyrings: dict[tuple[str, str], Keyring] = {}

    def passphrase(self, what: str) -> Passphrase:
        """The passphrase of something that is locked.

        Args:
            what: the file, for the question and the message.

        Raises:
            PassphraseNeeded: there is no source, and nobody to ask.
            PassphraseUnusable: the source that is named cannot be used.
        """
        found = self._stored(self._passphrase_file, PASSPHRASE_VARIABLE, PASSPHRASE_CREDENTIAL)
        if found is not None:
            return found
        if self._ask is None:
            raise PassphraseNeeded(what=what)
        if what not in self._typed:
            self._typed[what] = Passphrase(self._ask(f"{what} 的口令", f"Passphrase for {what}"), "terminal")
        return self._typed[what]

    def new_passphrase(self, what: str, file: Path | None = None) -> Passphrase:
        """A passphrase to lock something with; a person types it twice.

        Args:
            what: the file, for the question and the message.
            file: where it is, if that was said; else the usual sources.

        Raises:
            NewPassphraseNeeded: there is no source, and nobody to ask.
            PassphraseUnusable: the source cannot be used, the passphrase is too short, or it was typed in two ways.
        """
        if file is not None:
            return read_passphrase(file).require_new()
        found = self._stored(self._passphrase_file, PASSPHRASE_VARIABLE, PASSPHRASE_CREDENTIAL)
        if found is not None:
            return found.require_new()
        return self.ask_new(what)

    def ask_new(self, what: str) -> Passphrase:
        """As `new_passphrase`, of a person only: for a change, where the other sources give the former one."""
        if self._ask is None:
            raise NewPassphraseNeeded(what=what)
        typed = self._ask(f"{what} 的新口令", f"New passphrase for {what}")
        made = Passphrase(typed, "terminal").require_new()
        if self._ask("再次输入新口令", "The new passphrase again") != typed:
            raise PassphraseUnusable(
                source="terminal", reason_zh="两次输入不同", reason_en="it was typed in two ways"
            )
        return made

    def token(self, label: str, module: Path | None = None) -> Token:
        """The token of that label, logged in; the same object each time.

        Args:
            label: the token's.
            module: the library that a node's configuration names, if the sources name none.

        Raises:
            ModuleNeeded, PinNeeded: nothing says how to reach it.
            TokenUnavailable, TokenPinRefused: it cannot be used.
        """
        named = self._module or self._environment.get(MODULE_VARIABLE) or module
        if not named:
            raise ModuleNeeded(token=label)
        key = (str(named), label)
        if key not in self._tokens:
            pin = self._pin(label)
            self._tokens[key] = Token(Path(named), label, pin.reveal().decode("utf-8", "replace"))
            pin.wipe()
        return self._tokens[key]

    def _pin(self, token: str) -> Passphrase:
        found = self._stored(self._pin_file, PIN_VARIABLE, PIN_CREDENTIAL)
        if found is not None:
            return found
        if self._ask is None:
            raise PinNeeded(token=token)
        return Passphrase(self._ask(f"密码设备 {token} 的 PIN", f"PIN of the token {token}"), "terminal")

    def _stored(self, named: Path | None, variable: str, credential: str) -> Passphrase | None:
        """What is in a file, if one is named or the service manager provides it."""
        if named is not None:
            return read_passphrase(named)
        from_environment = self._environment.get(variable)
        if from_environment:
            return read_passphrase(Path(from_environment))
        folder = self._environment.get("CREDENTIALS_DIRECTORY")
        if folder and (path := Path(folder) / credential).exists():
            # The service manager lets the service in by an access list, whose mask shows in the mode as its group's right.
            return read_passphrase(path, refused_mode=_OTHERS)
        return None


def read_passphrase(path: Path, *, refused_mode: int = _GROUP_AND_OTHERS) -> Passphrase:
    """The passphrase in a file: all of it, without the line's end.

    Args:
        path: the file, or a pipe such as /dev/fd/3.
        refused_mode: permission bits that nobody may have.

    Raises:
        PassphraseUnusable: missing, open to others, too long, or no UTF-8.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_ISREG(mode) and mode & refused_mode:
                raise PassphraseUnusable(
                    source=str(path),
                    reason_zh=f"其他用户可读取（权限 {mode & 0o777:o}）；请执行 chmod 600 {path}",
                    reason_en=f"others may read it (mode {mode & 0o777:o}); run: chmod 600 {path}",
                )
            data = file.read(PASSPHRASE_SIZE_BYTES_MAX + 3)
        text = data.decode()
    except OSError as error:
        reason = error.strerror or str(error)
        raise PassphraseUnusable(source=str(path), reason_zh=reason, reason_en=reason) from None
    except UnicodeDecodeError:
        raise PassphraseUnusable(
            source=str(path), reason_zh="不是 UTF-8 文字", reason_en="not text in UTF-8"
        ) from None
    return Passphrase(text.removesuffix("\n").removesuffix("\r"), str(path))


class _Ambient:
    """The sources that this program uses where a caller names none."""

    sources = Sources()


def sources() -> Sources:
    """The program's own sources; environment and credentials, until `use_sources` says otherwise."""
    return _Ambient.sources


def use_sources(chosen: Sources) -> None:
    """Have the whole program use these from now on. The command line does so once."""
    _Ambient.sources = chosen
