"""Inputs that Hypothesis generates: values of the target's types, mutations of its corpus, and plain bytes.

Rule: what Hypothesis finds it shrinks, so a finding comes out small. With `derandomize` the same code gives the same inputs.
"""

from __future__ import annotations

import time
from random import Random

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz import corpus
from tests.fuzz.mutate import mutated
from tests.fuzz.target import Target
from tests.fuzz.watch import Finding, Watch


def strategy(target: Target) -> st.SearchStrategy[bytes]:
    """Where the target's inputs are drawn from."""
    known = corpus.inputs(target)
    drawn = [st.binary(max_size=min(target.size_bytes_max, 512))]
    if known:
        drawn.append(
            st.builds(
                lambda data, random: mutated(data, target.grammar, random, target.size_bytes_max),
                st.sampled_from(known),
                st.integers(0, 2**32).map(Random),
            )
        )
    if target.examples is not None:
        limit = target.size_bytes_max
        drawn.append(target.examples().filter(lambda data: len(data) <= limit))
    return st.one_of(*reversed(drawn))


def run_examples(watch: Watch, count: int, *, number: int | None = None) -> None:
    """Run some generated inputs.

    Args:
        watch: over the target.
        count: how many.
        number: seed of the generator; None for the same inputs each time.

    Raises:
        Finding: the smallest input that did what no input may do.
    """
    found: list[Finding] = []

    @settings(
        max_examples=count,
        derandomize=number is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(strategy(watch.target))
    def check(data: bytes) -> None:
        if found and found[0].slow:
            return  # shrinking what hangs would take hours
        try:
            watch.run(data)
        except Finding as finding:
            found.append(finding)
            raise

    try:
        (check if number is None else seed(number)(check))()
    except BaseException:
        if not found:
            raise
    if found:
        raise min(found, key=lambda one: len(one.data)) from None


def run_for(watch: Watch, seconds: float, number: int) -> None:
    """Run the known inputs, then generated ones for that long. Raises Finding."""
    ends = time.monotonic() + seconds
    for data in corpus.inputs(watch.target):
        watch.run(data)
    while time.monotonic() < ends:
        run_examples(watch, 100, number=number)
        number += 1
