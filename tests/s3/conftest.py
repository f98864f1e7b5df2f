"""A real S3-compatible service for the tests: Versity's gateway over a folder, a process of its own, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from node.vault.blobs_s3 import S3Settings

ACCESS: Final = "operator"
SECRET: Final = "not-a-secret-of-anybody"
BUCKET: Final = "vault"
TRIES: Final = 200


@dataclass
class Service:
    """The gateway: `settings` to reach it; it can be ended and begun again."""

    program: str
    folder: Path
    port: int
    credentials: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> S3Settings:
        return S3Settings(
            bucket=BUCKET,
            prefix="node-1",
            endpoint=f"http://127.0.0.1:{self.port}",
            credentials=self.credentials,
            allow_http=True,
        )

    def begin(self) -> None:
        command = [
            self.program, "--access", ACCESS, "--secret", SECRET, "--port", f"127.0.0.1:{self.port}", "--quiet",
            "posix", str(self.folder / "data"),
        ]  # fmt: skip
        log = (self.folder / "gateway.log").open("ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": os.environ["HOME"]})
        log.close()
        for _ in range(TRIES):
            if self.process.poll() is not None:
                pytest.fail((self.folder / "gateway.log").read_text())
            with socket.socket() as probe:
                probe.settimeout(0.1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            self.process_waits()
        pytest.fail("the gateway does not listen")

    def process_waits(self) -> None:
        """A moment in which the gateway may end; that it does is seen in the next round."""
        assert self.process is not None
        try:
            self.process.wait(0.05)
        except subprocess.TimeoutExpired:
            return

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    program = os.environ.get("VERSITYGW") or shutil.which("versitygw")
    if program is None:
        pytest.fail("Versity's S3 gateway is not here. Run: make s3 (needs Go)")
    (tmp_path / "data" / BUCKET).mkdir(parents=True)
    credentials = tmp_path / "credentials"
    credentials.write_text(f"{ACCESS}\n{SECRET}\n")
    credentials.chmod(0o600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Service(program, tmp_path, port, credentials)
    made.begin()
    yield made
    made.end()
