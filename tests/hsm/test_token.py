"""A real token: it signs as a file does, seals, refuses by name, and is found again after it was pulled out."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.records import KeyRole
from ledger import domains
from ledger.crypto.registry import load_suite
from ledger.crypto.token import (
    TokenKeyExists,
    TokenKeyMissing,
    TokenPinRefused,
    TokenSigner,
    TokenUnavailable,
)
from ledger.errors import LedgerError, VerificationFailed
from tests.hsm.conftest import LABEL, Slot
from zhenglian import KeyFile, KeyFileUnusable
from zhenglian.errors import ModuleNeeded, PinNeeded
from zhenglian.keyfile import read_public
from zhenglian.unlocking import Sources

SUITE = load_suite("intl")


def test_a_key_in_the_token_signs_what_everybody_verifies(slot: Slot) -> None:
    token = slot.login()
    public_key = token.generate_ed25519("officer")
    signer = TokenSigner(token, "officer")
    assert (signer.scheme, signer.public_key) == ("ed25519", public_key)
    for message in (b"", b"m", bytes(10_000)):
        signature = signer.sign(domains.SESSION, message)
        assert SUITE.verify("ed25519", public_key, domains.SESSION, message, signature)
        assert not SUITE.verify("ed25519", public_key, domains.BLOCK, message, signature)


def test_no_key_leaves_the_token(slot: Slot) -> None:
    import pkcs11
    from pkcs11.exceptions import PKCS11Error

    token = slot.login()
    token.generate_ed25519("officer")
    token.generate_sealing_key("seal")

    def look(session: pkcs11.Session) -> list[tuple[bool, bool]]:
        found = []
        for key in session.get_objects({pkcs11.Attribute.PRIVATE: True}):
            with pytest.raises(PKCS11Error):
                key[pkcs11.Attribute.VALUE]
            found.append((key[pkcs11.Attribute.EXTRACTABLE], key[pkcs11.Attribute.SENSITIVE]))
        return found

    assert token._call(look) == [(False, True)] * 2


def test_a_key_is_never_overwritten_and_a_missing_one_is_named(slot: Slot) -> None:
    token = slot.login()
    public_key = token.generate_ed25519("officer")
    for make in (token.generate_ed25519, token.generate_sealing_key):
        with pytest.raises(TokenKeyExists, match="officer"):
            make("officer")
    assert token.ed25519_public_key("officer") == public_key
    with pytest.raises(TokenKeyMissing, match="another"):
        token.sign_ed25519("another", b"")
    with pytest.raises(TokenKeyMissing):
        token.seal("officer", b"", b"")


def test_what_the_token_seals_opens_there_and_with_its_header_only(slot: Slot) -> None:
    token = slot.login()
    token.generate_sealing_key("seal")
    token.generate_sealing_key("other")
    box = token.seal("seal", bytes(32), b"header")
    assert token.unseal("seal", box, b"header") == bytes(32)
    flipped = [box[:at] + bytes((box[at] ^ 1,)) + box[at + 1 :] for at in (0, 12, len(box) - 1)]
    for label, bad, header in (
        ("seal", box, b"another"),
        ("other", box, b"header"),
        ("seal", b"", b"header"),
        ("seal", box[:20], b"header"),
        *(("seal", one, b"header") for one in flipped),
    ):
        with pytest.raises(VerificationFailed):
            token.unseal(label, bad, header)
    assert token.unseal("seal", box, b"header") == bytes(32)


def test_a_wrong_pin_is_tried_once(slot: Slot) -> None:
    with pytest.raises(TokenPinRefused):
        slot.login(pin="00000000")
    token = slot.login()
    token.generate_ed25519("officer")
    token.close()
    token._pin = "00000000"
    for _ in range(20):
        with pytest.raises(TokenPinRefused):
            token.sign_ed25519("officer", b"")
    assert slot.login().sign_ed25519("officer", b""), "twenty wrong tries would have locked other tokens"


def test_a_lost_session_is_opened_again(slot: Slot) -> None:
    token = slot.login()
    token.generate_ed25519("officer")
    token.sign_ed25519("officer", b"")
    assert token._session is not None
    token._session.close()
    assert len(token.sign_ed25519("officer", b"m")) == 64
    # Another login of the same process has the library begin anew, which ends this one's session.
    slot.login()
    assert len(token.sign_ed25519("officer", b"m")) == 64


def test_a_token_that_is_pulled_out_is_an_error_and_works_once_it_is_back(slot: Slot) -> None:
    token = slot.login()
    token.generate_ed25519("officer")
    token.generate_sealing_key("seal")
    box = token.seal("seal", b"secret", b"")
    slot.pull_out()
    for _ in range(2):
        with pytest.raises(TokenUnavailable, match=LABEL):
            token.sign_ed25519("officer", b"m")
        with pytest.raises(TokenUnavailable):
            token.unseal("seal", box, b"")
    slot.put_back()
    assert token.unseal("seal", box, b"") == b"secret"
    assert len(token.sign_ed25519("officer", b"m")) == 64


def test_a_token_or_library_that_is_not_there_is_named(slot: Slot, tmp_path: Path) -> None:
    with pytest.raises(TokenUnavailable, match="no token"):
        slot.login(label="another")
    library = tmp_path / "no.so"
    with pytest.raises(TokenUnavailable, match=r"no\.so"):
        Slot(library, slot.pin_file, slot.folder).login()
    library.write_bytes(b"not a library")
    with pytest.raises(TokenUnavailable, match=r"no\.so"):
        Slot(library, slot.pin_file, slot.folder).login()


def test_a_key_file_names_the_key_and_nothing_more(slot: Slot, own_sources: Sources, tmp_path: Path) -> None:
    path = tmp_path / "officer.json"
    token = own_sources.token(LABEL)
    key = KeyFile.generate_in_token(SUITE, token, "officer", role=KeyRole.OFFICER, label="0042")
    key.save(path)
    text = path.read_text()
    assert "pkcs11:token=operator;object=officer;type=private" in text
    assert "secret" not in text
    assert str(slot.module) not in text
    loaded = KeyFile.load(path)
    assert (loaded, read_public(path)[1]) == (key, "pkcs11")
    signature = loaded.signer().sign(domains.SESSION, b"m")
    assert SUITE.verify("ed25519", bytes.fromhex(key.public_key), domains.SESSION, b"m", signature)
    with pytest.raises(ModuleNeeded, match="--pkcs11-module"):
        loaded.signer(Sources(environment={}))
    with pytest.raises(PinNeeded, match="--pin-file"):
        loaded.signer(Sources(environment={}, module=slot.module))


def test_another_key_under_the_same_name_is_refused(own_sources: Sources, tmp_path: Path) -> None:
    token = own_sources.token(LABEL)
    key = KeyFile.generate_in_token(SUITE, token, "a", role=KeyRole.OFFICER, label="")
    token.generate_ed25519("b")
    key.save(tmp_path / "k.json")
    path = tmp_path / "k.json"
    path.write_text(path.read_text().replace("object=a;", "object=b;"))
    with pytest.raises(KeyFileUnusable, match="another key"):
        KeyFile.load(path).signer()


def test_sm2_keys_are_made_in_files(own_sources: Sources) -> None:
    with pytest.raises(LedgerError, match="sm"):
        KeyFile.generate_in_token(
            load_suite("sm"), own_sources.token(LABEL), "k", role=KeyRole.OFFICER, label=""
        )
