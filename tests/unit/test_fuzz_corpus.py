"""Every fuzz target with its seeds, its kept corpus and some generated inputs: the quick, repeatable part of `make fuzz`."""

from __future__ import annotations

import pytest

from tests.fuzz import corpus
from tests.fuzz.generated import run_examples
from tests.fuzz.registry import TARGETS
from tests.fuzz.watch import Watch

EXAMPLES = 120


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_nothing_a_peer_may_send_does_more_than_be_refused(name: str) -> None:
    watch = Watch(TARGETS[name])
    for data in corpus.inputs(TARGETS[name]):
        watch.run(data)
    run_examples(watch, EXAMPLES)
    assert watch.inputs >= EXAMPLES // 2


def test_the_kept_corpus_is_small_and_belongs_to_targets() -> None:
    folders = {path.name for path in corpus.KEPT.iterdir()} if corpus.KEPT.is_dir() else set()
    assert folders <= TARGETS.keys()
    kept = [data for name in TARGETS for data in corpus.kept(name)]
    assert sum(map(len, kept)) < 1024 * 1024
    assert all(len(data) <= corpus.KEPT_INPUT_SIZE_BYTES_MAX for data in kept)
