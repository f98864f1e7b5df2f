"""Run inside a sandbox: two nodes' namespaces, the router between them, and what it must carry and must not."""

from __future__ import annotations

import subprocess
import sys

from tests.e2e.harness import sandbox
from tests.e2e.harness.links import Link, cut
from tests.e2e.harness.wires import Namespaces

ANSWER_S = 20.0
_HEARER = """
import socket, sys
hearer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hearer.bind((sys.argv[1], 9))
print("listening", flush=True)
while True:
    print(hearer.recv(100).decode(), flush=True)
"""
_SAY = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.argv[2].encode(), (sys.argv[1], 9))"


def main() -> None:
    """Datagrams from node 1 to node 2; those sent while the link is cut must not arrive, all others must, in order."""
    sandbox.live_as_long_as_the_parent()
    wires = Namespaces(2)
    host, _ = wires.peer_listen(2)
    hearer = subprocess.Popen(
        [*wires.command(2), sys.executable, "-c", _HEARER, host], stdout=subprocess.PIPE, text=True
    )
    assert hearer.stdout is not None

    def speak(text: str) -> None:
        subprocess.run(
            [*wires.command(1), sys.executable, "-c", _SAY, host, text], check=True, timeout=ANSWER_S
        )

    assert hearer.stdout.readline() == "listening\n"
    speak("first")
    assert hearer.stdout.readline() == "first\n"
    before = wires.set_links(cut([(1, 2)]))
    speak("never")
    slow = wires.set_links([Link(source=1, target=2, delay_ms=50)])
    assert slow.stopped == before.stopped + 1
    speak("slowly")
    assert hearer.stdout.readline() == "slowly\n"
    wires.set_links(cut([(2, 1)]))
    speak("the other way is cut")
    assert hearer.stdout.readline() == "the other way is cut\n"
    hearer.kill()
    hearer.wait()
    hearer.stdout.close()
    wires.close()


if __name__ == "__main__":
    main()
