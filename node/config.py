"""What the operator may choose: `config.toml`, checked whole before anything starts.

Rule: an unknown key, a wrong type or a number out of range stops the node with an error that names the key
and says what belongs there. Nothing that consensus depends on is here; that is in genesis. A section becomes
its component's own frozen dataclass by one function, so that no component reads this file.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import tomli_w
from msgspec import Meta, Struct, inspect

from consensus.core.settings import Timing
from ledger.crypto.suite import CryptoSuite
from ledger.decoders import convert
from ledger.errors import LedgerError
from ledger.store_retention import Retention
from node.home import Home, read_file, write_file
from node.http.config import HttpConfig, Rate, RateClass, default_rates
from node.mempool import PoolLimits
from node.services.oidc import ProviderSettings, secure
from node.statesync import ServeSettings, SyncSettings
from node.vault.blobs import BlobStore, LocalBlobStore

CONFIG_BYTES_MAX: Final = 256 * 1024
PEERS_MAX: Final = 256
OIDC_PROVIDERS_MAX: Final = 8
SECRET_BYTES_MAX: Final = 4096
DAY_MS: Final = 86_400_000
HTTP_PORT_DEFAULT: Final = 8440
PEER_PORT_DEFAULT: Final = 8441

Port = Annotated[int, Meta(ge=1, le=65535)]
Host = Annotated[str, Meta(min_length=1, max_length=253)]
NodeName = Annotated[str, Meta(min_length=1, max_length=64)]
FilePath = Annotated[str, Meta(max_length=4096)]
NetworkText = Annotated[str, Meta(min_length=1, max_length=64)]
DurationMs = Annotated[int, Meta(ge=10, le=600_000)]


class ConfigFileInvalid(LedgerError):
    """`config.toml` cannot be used. Fields: file, key, reason, expected_zh, expected_en."""

    code = "config_file_invalid"
    zh = "配置文件 {file} 的 {key} 有误（{reason}）：{expected_zh}。请更正后重新启动"
    en = "Setting {key} in {file} is wrong ({reason}): {expected_en}. Correct it and start again"


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class NodeSection(_Section, frozen=True):
    """`[node]`. The operator's public name, as on its card."""

    name: NodeName


class RateSection(_Section, frozen=True):
    """`[http.rates.<class>]`. A token bucket: `per_s` a second, at most `burst` kept."""

    per_s: Annotated[float, Meta(gt=0, le=1_000_000)]
    burst: Annotated[int, Meta(ge=1, le=1_000_000)]


class HttpSection(_Section, frozen=True):
    """`[http]`. Where the API listens; `tls_certificate` and `tls_key` are PEM files, both or neither."""

    host: Host = "127.0.0.1"
    port: Port = HTTP_PORT_DEFAULT
    tls_certificate: FilePath = ""
    tls_key: FilePath = ""
    requests_max: Annotated[int, Meta(ge=1, le=100_000)] = 2048
    streams_max: Annotated[int, Meta(ge=1, le=100_000)] = 256
    rates: dict[Literal["read", "write", "login", "lookup", "upload"], RateSection] = {}


class PeerSection(_Section, frozen=True):
    """`[[network.peer]]`. Where this node reaches a peer, if not where the ledger says."""

    name: NodeName
    host: Host
    port: Port


class NetworkSection(_Section, frozen=True):
    """`[network]`. Where this node listens for peers."""

    host: Host = "127.0.0.1"
    port: Port = PEER_PORT_DEFAULT
    peer: Annotated[tuple[PeerSection, ...], Meta(max_length=PEERS_MAX)] = ()


class LimitsSection(_Section, frozen=True):
    """`[limits]`. How many transactions may wait here: in all, in bytes, and for one account."""

    pool_transactions_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000
    pool_bytes_max: Annotated[int, Meta(ge=1024 * 1024, le=4 * 1024**3)] = 64 * 1024 * 1024
    pool_per_account_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 4_000


class ConsensusSection(_Section, frozen=True):
    """`[consensus]`. How long this node waits (`consensus.core.settings.Timing`); never what it agrees to."""

    delta_ms: DurationMs = 500
    delta_ms_max: DurationMs = 10_000
    growth_percent: Annotated[int, Meta(ge=100, le=1_000)] = 150
    repeat_ms: DurationMs = 2_000
    standstill_ms: DurationMs = 10_000
    status_ms: DurationMs = 2_000


class SyncSection(_Section, frozen=True):
    """`[sync]`. When a node without a ledger begins with a snapshot of its peers, and when it makes one for others.

    `state_sync_above_blocks`: take a snapshot when the peers are further ahead than that; 0 for never.
    `snapshot_every_blocks`, `snapshot_interval_s`: a snapshot that others ask for is made anew when the last is so old, and no
    more often than that.
    """

    state_sync_above_blocks: Annotated[int, Meta(ge=0, le=10**9)] = 10_000
    snapshot_every_blocks: Annotated[int, Meta(ge=1, le=10**9)] = 10_000
    snapshot_interval_s: Annotated[float, Meta(ge=0, le=10**6)] = 600.0


class KeysSection(_Section, frozen=True):
    """`[keys]`. `pkcs11_module`: the library that reaches the token, if keys of this node are in one or sealed by one."""

    pkcs11_module: FilePath = ""


class RetentionSection(_Section, frozen=True):
    """`[retention]`. What this node keeps of the past; the state at the head and how every epoch ended are always kept.

    `proof_blocks`: for so many heights below the head the state can be proven.
    `blocks`, `age_days`: blocks that are further below the head than that, or that much older than it, are removed; 0 to keep
    all. Where both are given, a block is removed when either says so.
    """

    proof_blocks: Annotated[int, Meta(ge=1, le=10**7)] = 1_000
    blocks: Annotated[int, Meta(ge=0, le=10**9)] = 0
    age_days: Annotated[int, Meta(ge=0, le=36_500)] = 0


class S3Section(_Section, frozen=True):
    """`[vault.s3]`. The bucket for this node's ciphertext, on any S3-compatible service.

    `prefix`: what this node's objects begin with; two nodes never have the same one in one bucket.
    `endpoint`: URL of the service, empty for AWS; without TLS only where `allow_http` says so.
    `credentials`: a private file (mode 600) with two lines, access key id and secret access key; empty to take AWS_ACCESS_KEY_ID
    and AWS_SECRET_ACCESS_KEY of the environment.
    """

    bucket: Annotated[str, Meta(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$")]
    prefix: Annotated[str, Meta(max_length=128, pattern=r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$")] = ""
    endpoint: Annotated[str, Meta(max_length=512, pattern=r"^(https?://[^\s/]+(/[^\s]*)?)?$")] = ""
    region: Annotated[str, Meta(min_length=1, max_length=64)] = "us-east-1"
    credentials: FilePath = ""
    allow_http: bool = False


class VaultSection(_Section, frozen=True):
    """`[vault]`. Where ciphertext lies, and on how many nodes.

    `copies`: how many nodes keep a record; 0 for 2f + 1 of n = 3f + 1, and never fewer than f + 1.
    `walk_hours`: so long after a walk over all that is kept here the next one begins.
    `s3`: a bucket instead of the folder `blobs/`.
    """

    copies: Annotated[int, Meta(ge=0, le=128)] = 0
    walk_hours: Annotated[float, Meta(ge=0.1, le=720)] = 6
    s3: S3Section | None = None


class OidcSection(_Section, frozen=True):
    """`[[oidc]]`. An identity provider with which people may log in here; what a login gives is in docs/signing-in.md.

    `issuer`: the provider's name to the letter. `client_secret_file`: of a confidential client. `redirect_uri`: the page of the
    portal that finishes a login, as registered with the provider. `algorithms`: how its tokens may be signed.
    """

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9_.-]{0,63}$")]
    issuer: Annotated[str, Meta(min_length=1, max_length=512)]
    client_id: Annotated[str, Meta(min_length=1, max_length=255)]
    redirect_uri: Annotated[str, Meta(min_length=1, max_length=512)]
    client_secret_file: FilePath = ""
    label_zh: Annotated[str, Meta(max_length=64)] = ""
    label_en: Annotated[str, Meta(max_length=64)] = ""
    scopes: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=16)] = (
        "openid",
    )
    algorithms: Annotated[
        tuple[Literal["RS256", "PS256", "ES256", "EdDSA", "Ed25519"], ...], Meta(min_length=1, max_length=5)
    ] = ("RS256", "PS256", "ES256", "EdDSA")


class WebhooksSection(_Section, frozen=True):
    """`[webhooks]`. Pushing notices out of this node.

    `enabled`: whether it sends any. `allow_http`: whether to plain http too. `allow_networks`: inner networks that may be reached,
    as "10.1.0.0/16"; all others that are not public are refused. `ca_file`: further certificate authorities, PEM. `retry_s`: pause
    after a first failure, later ones are longer. `disable_after_s`: a webhook that has been failing for so long is disabled.
    `platform_url`, `platform_secret_file`: the city's message platform, which is sent every person's notices; both or neither.
    """

    enabled: bool = True
    allow_http: bool = False
    allow_networks: Annotated[tuple[NetworkText, ...], Meta(max_length=64)] = ()
    ca_file: FilePath = ""
    retry_s: Annotated[float, Meta(gt=0, le=3_600)] = 5.0
    disable_after_s: Annotated[int, Meta(ge=60, le=30 * 86_400)] = 3 * 86_400
    platform_url: Annotated[str, Meta(max_length=2048)] = ""
    platform_secret_file: FilePath = ""


class CopiesSection(_Section, frozen=True):
    """`[copies]`. What this node signs derived copies (授权副本) with; without it marked PDFs are handed out as they are.

    `certificate`: the organisation's certificate, followed by those that lead to its root, PEM. `key`: its key, PKCS #8 PEM, a
    private file (mode 600). Both or neither.
    """

    certificate: FilePath = ""
    key: FilePath = ""


class LogSection(_Section, frozen=True):
    """`[log]`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "text"


class NodeConfig(_Section, frozen=True):
    """The whole of `config.toml`. Every section but `[node]` may be left out."""

    node: NodeSection
    http: HttpSection = HttpSection()
    network: NetworkSection = NetworkSection()
    limits: LimitsSection = LimitsSection()
    consensus: ConsensusSection = ConsensusSection()
    sync: SyncSection = SyncSection()
    retention: RetentionSection = RetentionSection()
    keys: KeysSection = KeysSection()
    oidc: Annotated[tuple[OidcSection, ...], Meta(max_length=OIDC_PROVIDERS_MAX)] = ()
    vault: VaultSection = VaultSection()
    webhooks: WebhooksSection = WebhooksSection()
    copies: CopiesSection = CopiesSection()
    log: LogSection = LogSection()


def load_config(path: Path) -> NodeConfig:
    """Read and check the file.

    Raises:
        FileUnusable: missing, unreadable or too large.
        ConfigFileInvalid: not TOML, or a setting is unknown, missing or out of range.
    """
    try:
        table = tomllib.loads(read_file(path, size_bytes_max=CONFIG_BYTES_MAX).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(path, "TOML", str(error), "应为 UTF-8 编码的 TOML", "must be TOML in UTF-8") from None
    try:
        config = convert(table, NodeConfig)
    except msgspec.ValidationError as error:
        raise _explain(path, str(error)) from None
    _check_together(path, config)
    return config


def write_config(path: Path, config: NodeConfig) -> None:
    """Write the file whole; every setting is spelled out, so that the operator sees what there is.

    Raises:
        FileUnusable: it cannot be written.
    """
    sections: dict[str, object] = msgspec.to_builtins(config)
    # TOML has no word for what is not there.
    said = {
        name: {key: value for key, value in section.items() if value is not None}
        if isinstance(section, dict)
        else section
        for name, section in sections.items()
    }
    text = "# 证链 Zhenglian: settings of this node / 本节点配置\n" + tomli_w.dumps(said)
    write_file(path, text.encode())


def consensus_timing(config: NodeConfig) -> Timing:
    """What the consensus core waits."""
    return Timing(**msgspec.structs.asdict(config.consensus))


def state_sync(config: NodeConfig) -> SyncSettings:
    """When to begin with a snapshot."""
    return SyncSettings(state_sync_above_blocks=config.sync.state_sync_above_blocks)


def snapshot_serving(config: NodeConfig) -> ServeSettings:
    """When to make snapshots for others."""
    return ServeSettings(
        snapshot_every_blocks=config.sync.snapshot_every_blocks,
        snapshot_interval_s=config.sync.snapshot_interval_s,
    )


def retention(config: NodeConfig) -> Retention:
    """What the store keeps of the past."""
    kept = config.retention
    return Retention(
        proof_blocks=kept.proof_blocks,
        blocks=kept.blocks or None,
        age_ms=kept.age_days * DAY_MS or None,
    )


def blob_store(config: NodeConfig, home: Home, suite: CryptoSuite) -> BlobStore:
    """Where this node's ciphertext lies.

    Raises:
        FileUnusable, SecretExposed: the file of credentials.
        Unavailable: settings that no request could be made with.
    """
    bucket = config.vault.s3
    if bucket is None:
        return LocalBlobStore(home.blobs, suite)
    from node.vault.blobs_s3 import S3BlobStore, S3Settings  # not every node has one

    settings = S3Settings(
        bucket=bucket.bucket,
        prefix=bucket.prefix,
        endpoint=bucket.endpoint,
        region=bucket.region,
        credentials=home.root / bucket.credentials if bucket.credentials else None,
        allow_http=bucket.allow_http,
    )
    return S3BlobStore(settings, suite)


def pool_limits(config: NodeConfig) -> PoolLimits:
    """What the pool of transactions may hold."""
    return PoolLimits(
        transactions_max=config.limits.pool_transactions_max,
        bytes_max=config.limits.pool_bytes_max,
        per_account_max=config.limits.pool_per_account_max,
    )


def login_providers(config: NodeConfig) -> tuple[ProviderSettings, ...]:
    """The identity providers with which people may log in here.

    Raises:
        FileUnusable: a client secret cannot be read.
    """
    return tuple(
        ProviderSettings(
            name=one.name,
            label_zh=one.label_zh or one.name,
            label_en=one.label_en or one.name,
            issuer=one.issuer,
            client_id=one.client_id,
            client_secret=_secret(one.client_secret_file),
            redirect_uri=one.redirect_uri,
            scopes=one.scopes,
            algorithms=one.algorithms,
        )
        for one in config.oidc
    )


def _secret(path: FilePath) -> str:
    return read_file(Path(path), size_bytes_max=SECRET_BYTES_MAX).decode().strip() if path else ""


def http_config(config: NodeConfig) -> HttpConfig:
    """What bounds the HTTP API."""
    rates = default_rates()
    for name, rate in config.http.rates.items():
        rates[RateClass(name)] = Rate(rate.per_s, rate.burst)
    return HttpConfig(requests_max=config.http.requests_max, streams_max=config.http.streams_max, rates=rates)


def _check_together(path: Path, config: NodeConfig) -> None:
    """What no single key can be blamed for."""
    if bool(config.http.tls_certificate) != bool(config.http.tls_key):
        missing = "http.tls_key" if config.http.tls_certificate else "http.tls_certificate"
        zh, en = "证书与密钥文件须同时填写，或都不填", "give both a certificate and a key, or neither"
        raise _invalid(path, missing, "empty", zh, en)
    if bool(config.copies.certificate) != bool(config.copies.key):
        missing = "copies.key" if config.copies.certificate else "copies.certificate"
        zh, en = "证书与密钥文件须同时填写，或都不填", "give both a certificate and a key, or neither"
        raise _invalid(path, missing, "empty", zh, en)
    if config.consensus.delta_ms > config.consensus.delta_ms_max:
        reason = f"{config.consensus.delta_ms} > {config.consensus.delta_ms_max}"
        zh, en = "不得大于 consensus.delta_ms_max", "must not be greater than consensus.delta_ms_max"
        raise _invalid(path, "consensus.delta_ms", reason, zh, en)
    _check_retention(path, config)
    _check_oidc(path, config)
    names = [peer.name for peer in config.network.peer]
    for name in names:
        if names.count(name) > 1:
            raise _invalid(
                path, "network.peer.name", name, "每个对端只能出现一次", "each peer may be given once"
            )


def _check_oidc(path: Path, config: NodeConfig) -> None:
    """Providers are apart by name, asked for an identity, and reached by https, or on this very machine."""
    names = [one.name for one in config.oidc]
    for one in config.oidc:
        if names.count(one.name) > 1:
            raise _invalid(path, "oidc.name", one.name, "每个名称只能出现一次", "each name may be given once")
        if "openid" not in one.scopes:
            raise _invalid(path, "oidc.scopes", "no openid", "须包含 openid", "must contain openid")
        for key, url in (("oidc.issuer", one.issuer), ("oidc.redirect_uri", one.redirect_uri)):
            if not secure(url):
                zh = "应为 https 地址（本机可用 http），不含用户名与片段"
                en = "must be an https address (http on this machine), without user name and fragment"
                raise _invalid(path, key, url, zh, en)


def _check_retention(path: Path, config: NodeConfig) -> None:
    """A network whose nodes are all set like this one must still let newcomers in, and prove what it says it proves."""
    kept, above = config.retention, config.sync.state_sync_above_blocks
    if kept.blocks and kept.blocks < kept.proof_blocks:
        reason = f"{kept.blocks} < {kept.proof_blocks}"
        zh, en = "不得小于 retention.proof_blocks", "must not be less than retention.proof_blocks"
        raise _invalid(path, "retention.blocks", reason, zh, en)
    if (kept.blocks or kept.age_days) and above == 0:
        zh = "保留期有限时不得为 0，否则新节点无从取得账本"
        en = "must not be 0 where blocks are removed, or a newcomer has no way to the ledger"
        raise _invalid(path, "sync.state_sync_above_blocks", "0", zh, en)
    if kept.blocks and kept.blocks < above:
        reason = f"{kept.blocks} < {above}"
        zh = "不得小于 sync.state_sync_above_blocks，否则落后不多的新节点取不到区块"
        en = "must not be less than sync.state_sync_above_blocks, or a newcomer finds neither blocks nor a snapshot"
        raise _invalid(path, "retention.blocks", reason, zh, en)


_AT: Final = re.compile(r"^(?P<reason>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>.*)`)?$", re.DOTALL)
_FIELD: Final = re.compile(r"(?P<kind>unknown|missing required) field `(?P<name>.*)`")


def _invalid(path: Path, key: str, reason: str, zh: str, en: str) -> ConfigFileInvalid:
    return ConfigFileInvalid(file=path.name, key=key, reason=reason, expected_zh=zh, expected_en=en)


def _explain(path: Path, message: str) -> ConfigFileInvalid:
    """Turn msgspec's message into the key it is about and what belongs there."""
    match = _AT.match(message)
    reason, place = (match["reason"], match["path"] or "") if match else (message, "")
    keys = [key for key in re.sub(r"\[.*?\]", "", place).split(".") if key]
    field = _FIELD.search(reason)
    if field is None:
        zh, en = _describe(_type_at(keys))
        return _invalid(path, ".".join(keys) or "TOML", reason, zh, en)
    key = ".".join([*keys, field["name"]])
    if field["kind"] == "unknown":
        known = list(_fields(_type_at(keys)))
        near = difflib.get_close_matches(field["name"], known, n=1)
        zh = f"没有这一项，是否应为 {near[0]}" if near else f"没有这一项，可用的有 {', '.join(known)}"
        en = f"there is no such key, did you mean {near[0]}" if near else f"known are {', '.join(known)}"
        return _invalid(path, key, "unknown", zh, en)
    zh, en = _describe(_type_at([*keys, field["name"]]))
    return _invalid(path, key, "missing", f"缺少这一项，{zh}", en)


def _inner(kind: inspect.Type) -> inspect.Type:
    """The table that an array of tables, or a table of tables, holds."""
    match kind:
        case inspect.VarTupleType():
            return kind.item_type
        case inspect.DictType():
            return kind.value_type
        case _:
            return kind


def _fields(kind: inspect.Type) -> dict[str, inspect.Type]:
    """The keys of a table and what belongs there; empty for anything else."""
    table = _inner(kind)
    return {field.name: field.type for field in table.fields} if isinstance(table, inspect.StructType) else {}


def _type_at(keys: list[str]) -> inspect.Type:
    """What belongs at a key; the innermost table around it when there is no such key."""
    kind: inspect.Type = inspect.type_info(NodeConfig)
    for key in keys:
        kind = _fields(kind).get(key, kind)
    return kind


def _describe(kind: inspect.Type) -> tuple[str, str]:
    """What belongs somewhere, in zh and en."""
    match kind:
        case inspect.IntType():
            return f"应为 {kind.ge} 到 {kind.le} 的整数", f"must be an integer from {kind.ge} to {kind.le}"
        case inspect.FloatType():
            return (
                f"应为大于 {kind.gt}、不超过 {kind.le} 的数",
                f"must be a number over {kind.gt}, at most {kind.le}",
            )
        case inspect.StrType():
            low, high = kind.min_length or 0, kind.max_length
            return f"应为 {low} 到 {high} 个字符的文字", f"must be text of {low} to {high} characters"
        case inspect.DictType(key_type=inspect.LiteralType(values=allowed)):
            names = ", ".join(str(value) for value in allowed)
            return f"应为表，可用的项有 {names}", f"must be a table with the keys {names}"
        case inspect.LiteralType():
            values = ", ".join(str(value) for value in kind.values)
            return f"应为其中之一：{values}", f"must be one of {values}"
        case inspect.VarTupleType():
            return (
                f"应为至多 {kind.max_length} 个表的数组",
                f"must be an array of at most {kind.max_length} tables",
            )
        case _:
            names = ", ".join(_fields(kind))
            return f"应为表，可用的项有 {names}", f"must be a table with the keys {names}"
