"""A wrong setting stops the node with its name and the remedy; defaults are the components' own."""

from __future__ import annotations

from pathlib import Path

import pytest

from consensus.core.settings import Timing
from node.config import (
    CONFIG_BYTES_MAX,
    ConfigFileInvalid,
    HttpSection,
    LogSection,
    NetworkSection,
    NodeConfig,
    NodeSection,
    PeerSection,
    RateSection,
    consensus_timing,
    http_config,
    load_config,
    pool_limits,
    write_config,
)
from node.home import FileUnusable, SecretExposed, read_file, write_file
from node.http.config import HttpConfig, Rate, RateClass
from node.mempool import PoolLimits

NODE = '[node]\nname = "a"\n'


def load(folder: Path, text: str) -> NodeConfig:
    path = folder / "config.toml"
    path.write_text(text)
    return load_config(path)


def test_a_name_is_all_that_a_config_needs_and_the_rest_is_the_components_default(tmp_path: Path) -> None:
    config = load(tmp_path, NODE)
    assert config == NodeConfig(node=NodeSection(name="a"))
    assert consensus_timing(config) == Timing()
    assert pool_limits(config) == PoolLimits()
    assert http_config(config) == HttpConfig()


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    config = NodeConfig(
        node=NodeSection(name="市民政局"),
        http=HttpSection(port=1, rates={"read": RateSection(per_s=2.5, burst=3)}),
        network=NetworkSection(host="::", port=65535, peer=(PeerSection(name="b", host="h", port=7),)),
        log=LogSection(level="debug", format="json"),
    )
    write_config(tmp_path / "config.toml", config)
    assert load_config(tmp_path / "config.toml") == config
    assert http_config(config).rates[RateClass.READ] == Rate(2.5, 3)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("", "node", ["name"]),
        ("[node]\n", "node.name", ["1", "64"]),
        ('[node]\nname = ""\n', "node.name", ["1", "64"]),
        ("[node]\nname = 3\n", "node.name", ["1", "64"]),
        (NODE + "[http]\nport = 0\n", "http.port", ["65535"]),
        (NODE + "[http]\nport = 65536\n", "http.port", ["65535"]),
        (NODE + '[http]\nport = "80"\n', "http.port", ["65535"]),
        (NODE + "[http]\nprot = 80\n", "http.prot", ["port"]),
        (NODE + "[https]\nport = 80\n", "https", ["http"]),
        (NODE + "[http.rates.read]\nper_s = 0\nburst = 1\n", "http.rates.per_s", ["1000000"]),
        (NODE + "[http.rates.all]\nper_s = 1\nburst = 1\n", "http.rates", ["upload"]),
        (NODE + '[http]\ntls_key = "k"\n', "http.tls_certificate", []),
        (NODE + '[http]\ntls_certificate = "c"\n', "http.tls_key", []),
        (NODE + '[copies]\nkey = "k"\n', "copies.certificate", []),
        (NODE + '[copies]\ncertificate = "c"\n', "copies.key", []),
        (NODE + '[[network.peer]]\nname = "b"\nhost = "h"\n', "network.peer.port", ["65535"]),
        (NODE + "[network]\npeer = 3\n", "network.peer", ["256"]),
        (NODE + "[limits]\npool_bytes_max = 1\n", "limits.pool_bytes_max", ["1048576"]),
        (NODE + "[consensus]\ndelta_ms = 1.5\n", "consensus.delta_ms", ["600000"]),
        (NODE + "[consensus]\ndelta_ms = 20_000\n", "consensus.delta_ms", ["consensus.delta_ms_max"]),
        (NODE + '[log]\nlevel = "loud"\n', "log.level", ["warning"]),
        ("[node\n", "TOML", ["UTF-8"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_belongs_there(
    tmp_path: Path, text: str, key: str, words: list[str]
) -> None:
    with pytest.raises(ConfigFileInvalid) as refused:
        load(tmp_path, text)
    assert refused.value.fields["key"] == key
    for language in ("zh", "en"):
        message = refused.value.message(language)
        assert key in message
        assert "{" not in message
        for word in words:
            assert word in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[retention]\nproof_blocks = 0\n", "retention.proof_blocks"),
        ("[retention]\nage_days = -1\n", "retention.age_days"),
        ("[retention]\nblocks = 500\n", "retention.blocks"),
        ("[retention]\nblocks = 9999\n", "retention.blocks"),
        ("[retention]\nblocks = 20000\nproof_blocks = 20001\n", "retention.blocks"),
        (
            "[retention]\nage_days = 365\n[sync]\nstate_sync_above_blocks = 0\n",
            "sync.state_sync_above_blocks",
        ),
    ],
)
def test_a_retention_that_would_keep_newcomers_out_or_proves_nothing_is_refused(
    tmp_path: Path, text: str, key: str
) -> None:
    with pytest.raises(ConfigFileInvalid) as caught:
        load(tmp_path, NODE + text)
    assert caught.value.fields["key"] == key


def test_a_node_keeps_everything_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    kept = load(tmp_path, NODE).retention
    assert (kept.proof_blocks, kept.blocks, kept.age_days) == (1000, 0, 0)
    assert load(tmp_path, NODE + "[retention]\nblocks = 10000\nage_days = 365\n").retention.age_days == 365


def test_one_peer_given_twice_is_refused(tmp_path: Path) -> None:
    peer = '[[network.peer]]\nname = "b"\nhost = "h"\nport = 1\n'
    assert len(load(tmp_path, NODE + peer).network.peer) == 1
    with pytest.raises(ConfigFileInvalid):
        load(tmp_path, NODE + peer + peer)


def test_more_peers_than_the_bound_are_refused(tmp_path: Path) -> None:
    peers = "".join(f'[[network.peer]]\nname = "{n}"\nhost = "h"\nport = 1\n' for n in range(257))
    with pytest.raises(ConfigFileInvalid):
        load(tmp_path, NODE + peers)


def test_a_file_that_is_missing_too_large_or_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    with pytest.raises(FileUnusable):
        load_config(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigFileInvalid):
        load_config(path)
    path.write_text(NODE + "#" * CONFIG_BYTES_MAX)
    with pytest.raises(FileUnusable):
        load_config(path)


def test_a_secret_that_others_may_open_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vote.key"
    write_file(path, b"secret", secret=True, replace=False)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_file(path, secret=True) == b"secret"
    for mode in (0o640, 0o604, 0o620, 0o601):
        path.chmod(mode)
        with pytest.raises(SecretExposed) as refused:
            read_file(path, secret=True)
        assert f"chmod 600 {path}" in refused.value.message("zh")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    write_file(path, b"one", replace=False)
    with pytest.raises(FileUnusable):
        write_file(path, b"two", replace=False)
    assert path.read_bytes() == b"one"
    write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["genesis.json"]
    with pytest.raises(FileUnusable):
        write_file(tmp_path / "none" / "x", b"")
    with pytest.raises(FileUnusable):
        read_file(path, size_bytes_max=2)
