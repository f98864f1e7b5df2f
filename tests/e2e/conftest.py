"""Real node processes for the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.devnet import Devnet
from tests.e2e.cities import READY_S, SUITE, City, found_city


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.create(tmp_path_factory.mktemp("e2e") / "devnet", suite=SUITE.name) as network:
        network.start_all()
        network.wait_ready(READY_S)
        yield network


@pytest.fixture(scope="module")
def city(devnet: Devnet) -> Iterator[City]:
    with found_city(devnet) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
