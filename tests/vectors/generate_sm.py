"""Writes the golden vectors of the suite `sm`: those of `generate.py` once more, and SM2's edges.

Rule: as for `generate.py`, `make vectors` runs it and nothing else does. Signatures in these files have repeatable nonces
(`tests.suites.RepeatableKey`); real ones are fresh each time.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["ZHENGLIAN_SUITE"] = "sm"

from ledger.crypto import sm2, sm4
from ledger.crypto.registry import load_suite
from ledger.domains import FIELD, PERSON_TAG
from tests.suites import suite_under_test
from tests.unit.ledger_world import fixed
from tests.vectors import generate, sm2_math
from tests.vectors.sm2_cases import SECRET, sm2_cases

HERE = Path(__file__).parent
PACKAGED = HERE.parent.parent / "ledger" / "crypto"
FOLDER = HERE / "sm"
OF_INTL_ALONE = ("ed25519_edge.json", "bls_edge.json")


def primitives() -> dict[str, object]:
    """Hash, MAC, sealing and wrapping of fixed bytes, with the secrets that open them."""
    suite, data = load_suite("sm"), "数据 data".encode()
    secret, seal_key, nonce = sm2_math.number(SECRET), fixed("seal key"), fixed("seal nonce", size=24)
    key = sm2.SecretKey(secret)
    k = int.from_bytes(fixed("wrap nonce"), "big") % (sm2_math.N - 1) + 1
    point = sm2_math.finite(sm2_math.multiply(SECRET, sm2_math.G))
    sealed = nonce + sm4.seal_with(nonce, seal_key, data, b"associated")
    return {
        "data": data.hex(),
        "digest": suite.digest(data).hex(),
        "hash": {"domain": FIELD.decode(), "hash": suite.hash(FIELD, data).hex()},
        "mac": {
            "domain": PERSON_TAG.decode(),
            "key": fixed("mac key").hex(),
            "mac": suite.mac(fixed("mac key"), PERSON_TAG, data).hex(),
        },
        "seal": {"key": seal_key.hex(), "associated": b"associated".hex(), "sealed": sealed.hex()},
        "wrap": {
            "secret": secret.hex(),
            "public_key": key.public_key.hex(),
            "wrapped": sm2_math.encrypt(point, k, data).hex(),
        },
    }


def files() -> dict[Path, str]:
    """Every vector file with its text."""
    if suite_under_test().name != "sm":
        raise SystemExit("run as `python -m tests.vectors.generate_sm`, in a process of its own")
    edge = _json(sm2_cases())
    again = {
        FOLDER / path.name: text for path, text in generate.files().items() if path.name not in OF_INTL_ALONE
    }
    return {
        HERE / "sm2_edge.json": edge,
        PACKAGED / "sm2_edge.json": edge,
        FOLDER / "primitives.json": _json(primitives()),
        **again,
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the files; with --check compare them, and end with status 1 if one differs."""
    differing = []
    for path, text in files().items():
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(HERE.parent.parent), len(text))  # noqa: T201
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            differing.append(str(path.relative_to(HERE.parent.parent)))
    if differing:
        raise SystemExit("\n".join(differing))


if __name__ == "__main__":
    main()
