"""The short campaign of `make test`: seeded whole clusters under every fault, then healed."""

from __future__ import annotations

import pytest

from tests.simulation.harness.campaign import Campaign

SEEDS = 300
SEEDS_PER_TEST = 10


@pytest.mark.parametrize("first", range(1, SEEDS + 1, SEEDS_PER_TEST))
def test_seeds_keep_every_property_and_come_to_life_again(first: int) -> None:
    for seed in range(first, first + SEEDS_PER_TEST):
        try:
            report = Campaign(seed).run()
        except BaseException as error:
            error.add_note(f"replay it with: python -m tests.simulation --seed {seed} --trace")
            raise
        assert report.height > 0


# Each found a bug once, which has a test of its own beside this.
@pytest.mark.parametrize("seed", [2198, 3060, 3104, 41450])
def test_seeds_that_failed_once_pass(seed: int) -> None:
    assert Campaign(seed).run().height > 0


@pytest.mark.parametrize("seed", [3, 8])
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    first, second = Campaign(seed).run(), Campaign(seed).run()
    assert first == second
    assert first.trace_hash != Campaign(seed + 1).run().trace_hash


def test_real_signatures_make_the_same_progress() -> None:
    report = Campaign(20).run()
    assert report.height > 0
