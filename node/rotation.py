"""Another vote key, another certificate: made beside the present ones, and put in their place when the ledger names them.

    vote-next.key, card-next.json   a vote key that waits for the operators' vote, and the card that is proposed with it
    tls-next.pem                    key and certificate that are being announced

Rule: what a change replaces is replaced by renaming, so that a crash leaves the one or the other; the next start finishes what was
cut short (`finish_rotation`, `finish_renewal`). Making a key needs the keyring open; putting one in another's place does not.
"""

from __future__ import annotations

import ssl

import msgspec

from ledger.crypto.suite import CryptoSuite, VoteSigner
from network.tls import TlsIdentity, certificate_der, client_context, issue_certificate, load_certificate
from node.cards import NodeCard, encode_card, read_card
from node.home import SECRET_FILE_BYTES_MAX, Home, read_file, supersede, write_file
from node.keystore import VOTE_KIND, KeyFiles, public_vote_key, read_secret, tls_password, write_secret
from zhenglian.unlocking import Sources

# --- another vote key -------------------------------------------------------------------------------------------


def rotate_vote_key(home: Home, suite: CryptoSuite, using: Sources | None = None) -> NodeCard:
    """Make a vote key that waits for the operators' vote, and the card that is to be proposed with it.

    Called again before the vote it gives the same card. The node has to be started anew to hold the key.

    Raises:
        IdentityInvalid, FileUnusable: the present identity cannot be read, or the folder not be written.
    """
    files = KeyFiles(home, using)
    card = read_card(home.card)
    if files.card_next.exists() and files.vote_next.exists():
        return read_card(files.card_next)
    keyring = files.open()
    files.vote_next.unlink(missing_ok=True)
    secret, signer = suite.generate_vote_signer()
    write_secret(files.vote_next, VOTE_KIND, signer.public_key, secret, keyring)
    account = bytes.fromhex(card.account)
    new = msgspec.structs.replace(
        card,
        vote_key=signer.public_key.hex(),
        possession=signer.prove_possession(card.network, account).hex(),
    )
    write_file(files.card_next, encode_card(new))
    return new


def load_next_vote_signer(home: Home, suite: CryptoSuite, using: Sources | None = None) -> VoteSigner | None:
    """The vote key that waits for the operators' vote; None when there is none."""
    files = KeyFiles(home, using)
    if not files.vote_next.exists():
        return None
    return suite.load_vote_signer(read_secret(files.vote_next, VOTE_KIND, files.open))


def retire_vote_key(home: Home, suite: CryptoSuite, in_use: bytes) -> bool:
    """Once the ledger names the key that waited, destroy the one before; whether that was so.

    A disk that keeps old blocks, as many do, keeps the old secret for a while: what was signed with it belongs to an epoch
    that is over.

    Raises:
        FileUnusable: a file cannot be read or written.
    """
    files = KeyFiles(home)
    if not files.vote_next.exists() or public_vote_key(files.vote_next, suite) != in_use:
        return False
    supersede(files.vote_next, files.vote)
    finish_rotation(home, in_use)
    return True


def discard_next_vote_key(home: Home) -> None:
    """Give up a key that waits: nobody knows any more whether it has voted."""
    files = KeyFiles(home)
    files.vote_next.unlink(missing_ok=True)
    files.card_next.unlink(missing_ok=True)


def finish_rotation(home: Home, vote_key: bytes) -> None:
    """The card follows the vote key, if a change to it was cut short."""
    files = KeyFiles(home)
    if files.card_next.exists() and read_card(files.card_next).vote_key == vote_key.hex():
        card = read_card(home.card)
        new = read_card(files.card_next)
        card = msgspec.structs.replace(card, vote_key=new.vote_key, possession=new.possession)
        write_file(home.card, encode_card(card))
        files.card_next.unlink()


# --- another certificate ----------------------------------------------------------------------------------------


def make_next_certificate(home: Home, *, now_ms: int, using: Sources | None = None) -> bytes:
    """Make the key and certificate that are to follow the present ones, unless they wait already; the certificate, DER.

    Raises:
        FileUnusable: the folder cannot be written.
    """
    files = KeyFiles(home, using)
    path = files.tls_next.path
    if not path.exists():
        certificate_pem, key_pem = issue_certificate(now_ms=now_ms, password=tls_password(files.open()))
        write_file(path, (key_pem + certificate_pem).encode(), secret=True)
    return certificate_of(files.tls_next)


def switch_certificate(home: Home, using: Sources | None = None) -> None:
    """Let the certificate that waits take the present one's place; the old key is destroyed.

    Raises:
        TlsIdentityInvalid: what waits is no certificate with its own key; then nothing has changed.
        FileUnusable: there is none, or it cannot be moved.
    """
    files = KeyFiles(home, using)
    certificate_of(files.tls_next)
    client_context(files.tls_next, ())
    supersede(files.tls_next.path, files.tls.path)
    finish_renewal(home, read_card(home.card))


def certificate_of(tls: TlsIdentity) -> bytes:
    """The certificate in a key pair's file, DER.

    Raises:
        FileUnusable, SecretExposed: the file. TlsIdentityInvalid: what is in it.
    """
    text = read_file(tls.path, size_bytes_max=SECRET_FILE_BYTES_MAX, secret=True)
    return certificate_der(load_certificate(text.decode("ascii", "replace"), source=str(tls.path)))


def finish_renewal(home: Home, card: NodeCard) -> NodeCard:
    """The card follows the certificate, if a change to it was cut short; the card as it is then."""
    pem = ssl.DER_cert_to_PEM_cert(certificate_of(KeyFiles(home).tls))
    if card.certificate_pem.strip() == pem.strip():
        return card
    card = msgspec.structs.replace(card, certificate_pem=pem)
    write_file(home.card, encode_card(card))
    return card


def held_vote_key(home: Home, suite: CryptoSuite) -> bytes:
    """The public key whose secret is in the folder, without opening it.

    Raises:
        FileUnusable, SecretExposed, KeyFileUnusable: the file.
    """
    return public_vote_key(KeyFiles(home).vote, suite)
