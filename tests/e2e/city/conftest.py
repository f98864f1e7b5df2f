"""One city for all tests of this folder: each leaves the network as whole as it found it.

What a test hurts for good (a node's disk, the membership, the clock) belongs in a module with a network of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.devnet import Devnet
from tests.e2e.cities import READY_S, SUITE, City, found_city


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with Devnet.create(tmp_path_factory.mktemp("city") / "devnet", suite=SUITE.name) as network:
        network.start_all()
        network.wait_ready(READY_S)
        with found_city(network) as made:
            yield made


@pytest.fixture
def devnet(city: City) -> Devnet:
    return city.devnet
