"""A node that stops at whatever point goes on afterwards as if it had not: same polynomial, no share lost, nobody accused."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.shared_key_calls import SharedKeysDeal, SharedKeysRenew
from contracts.shared_key_records import KeyPurpose
from contracts.shared_key_rounds import open_rounds
from contracts.shared_keys import RENEWAL_INTERVAL_MS
from contracts.state import SHARED_KEY_ROUNDS
from ledger import codec
from ledger.errors import Unavailable
from node.holders.round_files import ReceivedPair, RoundFiles, RoundMemory
from node.holders.share_file import HeldShare, SealedFolder, ShareFile, SharesOfAnother, SharesUnreadable
from node.holders.steps import Remember, Step, Submit
from node.home import SecretExposed, destroy_former
from tests.unit.contracts_world import SUITE, identity
from tests.unit.holders_world import GROUP, HolderNet, HolderNode, dealt, quick_disk

pytestmark = pytest.mark.usefixtures(quick_disk.__name__)


class Crashing(HolderNode):
    """Starts again after the step of this number, once; what it did is noted."""

    crash_after = 0

    def start(self) -> None:
        self.done = getattr(self, "done", [])
        super().start()

    def carry_out(self, step: Step) -> bool:
        result = super().carry_out(step)
        self.done.append(type(step.args) if isinstance(step, Submit) else type(step))
        if len(self.done) == self.crash_after:
            self.start()
        return result

    def worth_a_crash(self, since: int = 0) -> list[int]:
        """The second step of every kind: something of it is done then, and something is not."""
        kinds = list(dict.fromkeys(self.done[since:]))
        positions = [[n for n, kind in enumerate(self.done, 1) if kind is one and n > since] for one in kinds]
        return [found[1 if len(found) > 1 else 0] for found in positions]


def net_with_crash(folder: Path, after: int) -> tuple[HolderNet, Crashing]:
    folder.mkdir()
    net = HolderNet(folder, 4, {1: Crashing})
    node = net.nodes[1]
    assert isinstance(node, Crashing)
    node.crash_after = after
    return net, node


def check_whole(net: HolderNet, renewal: int) -> None:
    for purpose in KeyPurpose:
        key, one = net.key(purpose), SHARED_KEY_ROUNDS.get(net.world, (purpose, 1))
        assert one is not None
        assert (key.renewal, one.attempt, one.excluded, one.disputed) == (renewal, 1, (), ())
        assert sorted(net.holding(key)) == [1, 2, 3, 4]
        assert net.opens(key, (2, 3, 4))
    assert not any(node.memories.all() for node in net.nodes)


def test_a_node_that_stops_after_any_step_of_the_making_has_its_shares_in_the_end(tmp_path: Path) -> None:
    whole, counted = net_with_crash(tmp_path / "whole", 0)
    whole.settle()
    assert len(counted.worth_a_crash()) >= 9
    for after in counted.worth_a_crash():
        net, node = net_with_crash(tmp_path / f"{after}", after)
        net.settle()
        assert len(node.done) >= after
        check_whole(net, 0)


def test_a_node_that_stops_after_any_step_of_a_renewal_has_its_shares_in_the_end(tmp_path: Path) -> None:
    def renewed(net: HolderNet) -> None:
        net.settle()
        net.pass_time(RENEWAL_INTERVAL_MS)
        for purpose in KeyPurpose:
            assert net.nodes[0].submit(SharedKeysRenew(purpose=purpose, version=1)).code == "ok"

    whole, counted = net_with_crash(tmp_path / "whole", 0)
    renewed(whole)
    before = len(counted.done)
    whole.settle()
    assert len(counted.worth_a_crash(before)) >= 6
    for after in counted.worth_a_crash(before):
        net, node = net_with_crash(tmp_path / f"{after}", after)
        renewed(net)
        net.settle()
        assert len(node.done) >= after
        check_whole(net, 1)


def test_a_dealer_that_starts_again_deals_the_same_polynomial(tmp_path: Path) -> None:
    net = HolderNet(tmp_path, 4)
    node = net.nodes[0]
    node.advance()
    first = [step.args for step in node.plan() if isinstance(step, Submit)]
    assert all(isinstance(args, SharedKeysDeal) for args in first)
    assert len(first) == len(KeyPurpose)
    node.start()
    assert [step.args for step in node.plan() if isinstance(step, Submit)] == first


def test_nothing_is_sent_about_a_round_before_its_seed_is_durable(tmp_path: Path) -> None:
    net = HolderNet(tmp_path, 4)
    steps = net.nodes[0].plan()
    assert {type(step) for step in steps} == {Remember}
    net.nodes[0].carry_out(steps[0])
    about = [step for step in net.nodes[0].plan() if isinstance(step, Submit)]
    assert [step.name[0] for step in about] == [net.nodes[0].memories.all()[0].round_id]


def test_a_dealer_that_has_lost_what_it_dealt_from_gives_nothing_rather_than_something_else(
    tmp_path: Path,
) -> None:
    net = HolderNet(tmp_path, 4)
    loser = net.nodes[0]
    loser.advance()
    loser.advance()
    dealt = open_rounds(net.world)[0]
    assert dealt.dealt == (1,)
    for path in loser.folder.iterdir():
        path.unlink()
    loser.start()
    loser.advance()
    assert loser.memories.find(dealt.round_id) is not None
    with pytest.raises(Unavailable):
        loser.give(net.nodes[1].account, dealt.round_id)
    net.settle()
    for purpose in KeyPurpose:
        one = SHARED_KEY_ROUNDS.get(net.world, (purpose, 1))
        assert one is not None
        assert one.excluded == (1,)
        assert net.opens(net.key(purpose), (2, 3, 4))


# --- files ----------------------------------------------------------------------------------------------------

CHAIN = identity("chain", 32)
ACCOUNT = identity("account")
PUBLIC = dealt(GROUP, (ACCOUNT, identity("another account")), KeyPurpose.VAULT).key
SHARE = HeldShare(
    purpose=KeyPurpose.VAULT,
    version=1,
    renewal=0,
    group=PUBLIC.group,
    keys=PUBLIC.keys,
    holder=2,
    secret=identity("secret", 32),
)
NEXT = replace(SHARE, renewal=1, secret=identity("another", 32))


def folder_of(path: Path, key: str = "seal") -> SealedFolder:
    folder = SealedFolder(path, SUITE, identity(key, 32))
    folder.prepare()
    return folder


def shares_of(path: Path) -> ShareFile:
    return ShareFile(folder_of(path), CHAIN, ACCOUNT)


def test_shares_are_there_after_a_restart_and_their_bytes_are_nowhere_in_the_folder(tmp_path: Path) -> None:
    shares = shares_of(tmp_path)
    shares.change(keep=(SHARE,))
    again = shares_of(tmp_path)
    own = again.share(KeyPurpose.VAULT, 1, 0)
    assert own is not None
    assert (own.holder, own.secret) == (2, int.from_bytes(SHARE.secret, "big"))
    assert again.share(KeyPurpose.VAULT, 1, 1) is None
    assert all(SHARE.secret not in path.read_bytes() for path in tmp_path.iterdir())
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600]
    for shown in (repr(SHARE), repr(own), repr(shares)):
        assert SHARE.secret.hex() not in shown
        assert str(int.from_bytes(SHARE.secret, "big")) not in shown


def test_a_share_that_is_dropped_is_gone_and_what_it_was_sealed_in_is_overwritten(tmp_path: Path) -> None:
    shares = shares_of(tmp_path)
    shares.change(keep=(SHARE,))
    with (tmp_path / "own").open("rb") as file:
        before = file.read()
        shares.change(keep=(NEXT,), drop=(SHARE,))
        file.seek(0)
        assert file.read() == bytes(len(before))
    assert shares_of(tmp_path).held() == (NEXT,)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


@pytest.mark.parametrize("stage", ["written", "linked", "replaced"])
def test_a_change_that_is_cut_short_leaves_the_one_or_the_other_whole(tmp_path: Path, stage: str) -> None:
    shares_of(tmp_path).change(keep=(SHARE,))
    other = tmp_path / "other"
    shares_of(other).change(keep=(NEXT,))
    waiting, own, former = tmp_path / "own.next", tmp_path / "own", tmp_path / "own.former"
    waiting.write_bytes((other / "own").read_bytes())
    waiting.chmod(0o600)
    if stage != "written":
        former.hardlink_to(own)
    if stage == "replaced":
        waiting.replace(own)
    (other / "own").unlink()
    other.rmdir()
    assert shares_of(tmp_path).held() == ((NEXT,) if stage == "replaced" else (SHARE,))
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_a_memory_that_is_forgotten_is_overwritten(tmp_path: Path) -> None:
    memories = RoundFiles(folder_of(tmp_path))
    memory = RoundMemory(
        round_id=identity("round"),
        purpose=KeyPurpose.VAULT,
        version=1,
        renewal=0,
        attempt=1,
        seed=identity("seed", 32),
    )
    memories.keep(memory)
    pair = ReceivedPair(dealer=1, value=identity("value", 32), blinding=identity("blinding", 32))
    memories.keep(memory.with_pair(pair))
    assert RoundFiles(folder_of(tmp_path)).find(memory.round_id) == memory.with_pair(pair)
    (path,) = tmp_path.iterdir()
    with path.open("rb") as file:
        size_bytes = len(file.read())
        memories.forget(memory.round_id)
        file.seek(0)
        assert file.read() == bytes(size_bytes)
    assert list(tmp_path.iterdir()) == []
    assert RoundFiles(folder_of(tmp_path)).all() == ()


def test_shares_under_another_seal_of_another_node_or_open_to_others_are_refused(tmp_path: Path) -> None:
    shares_of(tmp_path).change(keep=(SHARE,))
    with pytest.raises(SharesUnreadable):
        ShareFile(folder_of(tmp_path, "another"), CHAIN, ACCOUNT)
    with pytest.raises(SharesOfAnother):
        ShareFile(folder_of(tmp_path), CHAIN, identity("another"))
    with pytest.raises(SharesOfAnother):
        ShareFile(folder_of(tmp_path), identity("another chain", 32), ACCOUNT)
    (tmp_path / "own").rename(tmp_path / "round-0")
    with pytest.raises(SharesUnreadable):
        RoundFiles(folder_of(tmp_path))
    (tmp_path / "round-0").rename(tmp_path / "own")
    (tmp_path / "own").chmod(0o640)
    with pytest.raises(SecretExposed):
        shares_of(tmp_path)


def test_nothing_of_a_secret_is_in_what_is_printed_of_a_memory() -> None:
    pair = ReceivedPair(dealer=1, value=identity("value", 32))
    memory = RoundMemory(
        round_id=identity("round"),
        purpose=KeyPurpose.VAULT,
        version=1,
        renewal=0,
        attempt=1,
        seed=identity("seed", 32),
        pairs=(pair,),
    )
    for secret in (pair.value, memory.seed):
        assert repr(secret) not in repr(memory) + repr(pair) + repr(new_step(memory))
        assert secret in codec.encode(memory)


def new_step(memory: RoundMemory) -> object:
    return (memory, [memory])


def test_destroying_what_is_not_there_does_nothing(tmp_path: Path) -> None:
    folder_of(tmp_path).destroy("own")
    destroy_former(tmp_path / "own")
    assert list(tmp_path.iterdir()) == []
