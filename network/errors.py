"""What can be wrong between two peers.

Rule: each fault of a peer has a class here with a stable code; the code is what logs, metrics and
`PeerStatus` show.
"""

from __future__ import annotations

from ledger.errors import Category, LedgerError


class FrameInvalid(LedgerError):
    """Bytes that are no frame of this protocol. Fields: reason."""

    code = "peer_frame_invalid"
    zh = "对端发来的帧格式不正确：{reason}"
    en = "Malformed frame from the peer: {reason}"


class ChainMismatch(LedgerError):
    """The peer belongs to another network. Fields: own, theirs (hexadecimal chain ids)."""

    code = "peer_chain_mismatch"
    category = Category.CONFLICT
    zh = "对端属于另一个网络：本节点 {own}，对端 {theirs}；请核对双方的 genesis.json"
    en = (
        "The peer belongs to another network: ours is {own}, theirs {theirs}; compare both genesis.json files"
    )


class VersionMismatch(LedgerError):
    """No protocol version in common.

    Fields: own_min, own_max, own_release, their_min, their_max, their_release.
    """

    code = "peer_version_mismatch"
    category = Category.CONFLICT
    zh = (
        "没有共同的节点协议版本：本节点（发行版 {own_release}）支持 {own_min}–{own_max}，"
        "对端（发行版 {their_release}）支持 {their_min}–{their_max}；请升级较旧的一方"
    )
    en = (
        "No common peer protocol version: this node (release {own_release}) speaks {own_min}–{own_max}, "
        "the peer (release {their_release}) {their_min}–{their_max}; upgrade the older side"
    )


class NodeMismatch(LedgerError):
    """The peer's key is one node's, its claim another's. Fields: expected, claimed (accounts)."""

    code = "peer_node_mismatch"
    category = Category.UNAUTHENTICATED
    zh = "对端自称 {claimed}，而它的密钥属于 {expected}"
    en = "The peer claims to be {claimed}, but its key belongs to {expected}"


class PinMismatch(LedgerError):
    """A peer proved a key that the ledger does not name for it. Fields: peer, actual (SHA-256 of the SPKI)."""

    code = "peer_pin_mismatch"
    category = Category.UNAUTHENTICATED
    zh = "{peer} 出示的密钥 {actual} 不是账本所登记的"
    en = "{peer} showed the key {actual}, which the ledger does not name for it"


class PeerRemoved(LedgerError):
    """The peer is no node of the network any more. Fields: peer."""

    code = "peer_removed"
    category = Category.FORBIDDEN
    zh = "{peer} 已不是本网络的节点"
    en = "{peer} is no node of this network any more"


class PeerCertificateExpired(LedgerError):
    """A peer shows an X.509 certificate that has ended. Fields: peer."""

    code = "peer_certificate_expired"
    category = Category.UNAUTHENTICATED
    zh = "{peer} 的节点证书已过期；其运营方须执行 zhenglian node renew-certificate --through <其他节点的接口地址>"
    en = (
        "The certificate of {peer} has expired; its operator has to run "
        "zhenglian node renew-certificate --through <API address of another node>"
    )


class OwnCertificateExpired(LedgerError):
    """A peer refused this node because its X.509 certificate has ended. Fields: peer."""

    code = "own_certificate_expired"
    category = Category.UNAUTHENTICATED
    zh = "{peer} 拒绝连接：本节点的证书已过期；请停止节点，执行 zhenglian node renew-certificate --through <其他节点的接口地址>"
    en = (
        "{peer} refuses: this node's certificate has expired; stop the node and run "
        "zhenglian node renew-certificate --through <API address of another node>"
    )


class TlsFailed(LedgerError):
    """No TLS 1.3 session with mutual authentication came about. Fields: reason."""

    code = "peer_tls_failed"
    category = Category.UNAUTHENTICATED
    zh = "TLS 握手失败：{reason}"
    en = "The TLS handshake failed: {reason}"


class TlsIdentityInvalid(LedgerError):
    """The node's own X.509 certificate or key cannot be used. Fields: file, reason."""

    code = "tls_identity_invalid"
    zh = "TLS 证书或密钥无法使用（{file}）：{reason}"
    en = "Unusable TLS certificate or key ({file}): {reason}"


class ConnectionEnded(LedgerError):
    """A connection ended. Fields: reason."""

    code = "peer_connection_ended"
    category = Category.UNAVAILABLE
    zh = "与对端的连接已断开：{reason}"
    en = "The connection to the peer ended: {reason}"


class DuplicateConnection(LedgerError):
    """Two connections to one peer; this is the one that both sides agree to close. Fields: peer."""

    code = "peer_duplicate_connection"
    category = Category.CONFLICT
    zh = "与 {peer} 之间已有连接"
    en = "There is another connection to {peer}"


class RemoteError(LedgerError):
    """A peer refused a request. Fields: peer, code (its error code), reason (its message, in English)."""

    code = "peer_refused"
    category = Category.UNAVAILABLE
    zh = "{peer} 拒绝了请求（{code}）：{reason}"
    en = "{peer} refused the request ({code}): {reason}"
