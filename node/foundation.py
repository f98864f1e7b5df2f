"""What a node starts from: everything that is read and checked before anything of it runs.

Rule: whatever is wrong with a home folder is found here, at once, with a message that says what to do.
"""

from __future__ import annotations

import os
import resource
import ssl
from dataclasses import dataclass
from pathlib import Path

from ledger.crypto.registry import load_suite
from ledger.crypto.self_test import check_vectors
from ledger.crypto.suite import CryptoSuite
from ledger.types import Genesis
from node.config import HttpSection, NodeConfig, load_config
from node.founding import NetworkBundle, load_network
from node.home import FileUnusable, Home, read_file
from node.identity import NodeIdentity, load_identity
from node.lock import HomeLock
from node.observability import configure_logging
from node.provenance import require_own_packages


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """A home folder, read and locked.

    Attributes:
        home, config, network, suite, identity: what it holds.
        users_tls: the API's certificate; None when something else does TLS in front.
        lock: held until the process ends.
    """

    home: Home
    config: NodeConfig
    network: NetworkBundle
    suite: CryptoSuite
    identity: NodeIdentity
    users_tls: ssl.SSLContext | None
    lock: HomeLock

    @property
    def genesis(self) -> Genesis:
        return self.network.genesis


def lay_foundation(folder: Path) -> Foundation:
    """Read and check a home folder, and take its lock.

    Raises:
        LedgerError: configuration, identity or genesis cannot be used, or another process runs here.
    """
    require_own_packages()
    home = Home(folder)
    config = load_config(home.config)
    configure_logging(json=config.log.format == "json", level=config.log.level)
    users_tls = _tls_for_users(config.http)
    network = load_network(home)
    suite = load_suite(network.genesis.suite)
    check_vectors(suite.name)
    # A crash leaves no image of the memory, which has the keys open from here on.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    identity = load_identity(home, suite)
    # Whatever the node writes from here on is its own, also what libraries create.
    os.umask(0o077)
    lock = HomeLock(home.root / "lock")
    home.create_folders()
    return Foundation(
        home=home,
        config=config,
        network=network,
        suite=suite,
        identity=identity,
        users_tls=users_tls,
        lock=lock,
    )


def _tls_for_users(http: HttpSection) -> ssl.SSLContext | None:
    if not http.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (http.tls_certificate, http.tls_key):
        read_file(Path(path))
    try:
        context.load_cert_chain(http.tls_certificate, http.tls_key)
    except ssl.SSLError as error:
        reason = f"not a PEM certificate with its own key, {http.tls_key} ({error.reason or error})"
        raise FileUnusable(path=http.tls_certificate, reason=reason) from None
    return context
