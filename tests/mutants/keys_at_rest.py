"""The rules of keys at rest."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.naming import one

AT_REST: Final = "ledger/crypto/at_rest.py"
KEYRING: Final = "clients/zhenglian/keyring.py"
KEYFILE: Final = "clients/zhenglian/keyfile.py"
FILES: Final = "clients/zhenglian/private_files.py"
UNLOCKING: Final = "clients/zhenglian/unlocking.py"
RELOCK: Final = "node/relock.py"
ROTATION: Final = "node/rotation.py"


def _keys(name: str, rule: str, file: str, where: str, old: str, new: str) -> Mutant:
    return one(name, rule, file, where, old, new, ("keys",))


KEYS: Final = (
    _keys(
        "box-bound-to-header",
        "a box is bound to all that its file says",
        AT_REST,
        "unseal",
        'return sealing.unseal(key, box, _framed(b"box", header))',
        'return sealing.unseal(key, box, _framed(b"box", b""))',
    ),
    _keys(
        "kdf-work-bounded",
        "memory times passes is bounded",
        AT_REST,
        "KdfCost.__post_init__",
        "if self.memory_kib * self.passes > WORK_KIB_MAX:",
        "if False:",
    ),
    _keys(
        "secret-of-one-kind",
        "a secret of one kind is no secret of another",
        KEYRING,
        "Keyring.unseal",
        "if file.kind != kind:",
        "if False:",
    ),
    _keys(
        "secret-of-one-keyring",
        "a secret belongs to one keyring",
        KEYRING,
        "Keyring.require_own",
        "if keyring != self.id:",
        "if False:",
    ),
    _keys(
        "readable-only-when-said",
        "a key is left readable only when that is said",
        KEYFILE,
        "KeyFile.save",
        "elif unencrypted:",
        "elif self.secret:",
    ),
    _keys(
        "others-may-not-read",
        "a key file that others may read is refused",
        FILES,
        "read_private",
        'if os.name == "posix" and mode & _OTHERS:',
        "if False:",
    ),
    _keys(
        "replaced-bytes-overwritten",
        "what a key file held is overwritten",
        FILES,
        "write_private",
        "former.write(bytes(os.fstat(former.fileno()).st_size))",
        "pass",
    ),
    _keys(
        "named-source-binds",
        "a passphrase file is private",
        UNLOCKING,
        "read_passphrase",
        'if os.name == "posix" and stat.S_ISREG(mode) and mode & refused_mode:',
        "if False:",
    ),
    _keys(
        "new-passphrase-long",
        "a new passphrase is long enough",
        UNLOCKING,
        "Passphrase.require_new",
        'if len(self._data.decode("utf-8", "surrogatepass")) < PASSPHRASE_LENGTH_MIN:',
        "if False:",
    ),
    _keys(
        "present-passphrase-proved",
        "the present passphrase is needed for another",
        RELOCK,
        "_present",
        "using.keyrings.clear()",
        "pass",
    ),
    _keys(
        "running-home-not-sealed",
        "a readable home is not sealed while its node runs",
        RELOCK,
        "set_passphrase",
        'lock = HomeLock(home.root / "lock")',
        'lock = HomeLock(home.root / "other-lock")',
    ),
    _keys(
        "waiting-key-sealed",
        "a vote key that waits is sealed too",
        ROTATION,
        "rotate_vote_key",
        "write_secret(files.vote_next, VOTE_KIND, signer.public_key, secret, keyring)",
        "write_secret(files.vote_next, VOTE_KIND, signer.public_key, secret, None)",
    ),
    _keys(
        "waiting-certificate-sealed",
        "the key of a certificate that waits is encrypted too",
        ROTATION,
        "make_next_certificate",
        "password=tls_password(files.open())",
        "password=None",
    ),
)
