"""Every way in which a proof can fail, with its stable code and its words in zh and en, in one table.

Rule: a proof is rejected with `rejected(Check.X)` and nothing else; programs read `fields["check"]`, people
the message in their language.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from ledger.errors import VerificationFailed


class Check(StrEnum):
    """What was checked and did not hold. The values are part of the API."""

    FORMAT = "format"
    VERSION = "version"
    NETWORK = "network"
    CHAIN = "chain"
    EPOCH = "epoch"
    VALIDATORS = "validators"
    TRUST_KEYS = "trust_keys"
    CERTIFICATE_KIND = "certificate_kind"
    CERTIFICATE_SIGNERS = "certificate_signers"
    CERTIFICATE_SUBJECT = "certificate_subject"
    CERTIFICATE_SIGNATURE = "certificate_signature"
    PATH_TOO_LONG = "path_too_long"
    PATH_NOT_LINKED = "path_not_linked"
    PATH_ORDER = "path_order"
    PATH_FILLER = "path_filler"
    SEAL = "seal"
    NEXT_VALIDATORS = "next_validators"
    NEXT_EPOCH = "next_epoch"
    NEXT_KEYS = "next_keys"
    EPOCH_ORDER = "epoch_order"
    SNAPSHOT_SHAPE = "snapshot_shape"
    SNAPSHOT_ROOT = "snapshot_root"
    SNAPSHOT_CHUNK = "snapshot_chunk"
    SNAPSHOT_BLOCK = "snapshot_block"
    TRANSACTION_CHAIN = "transaction_chain"
    TRANSACTION_PROOF = "transaction_proof"
    RESULT_TRANSACTION = "result_transaction"
    RESULT_POSITION = "result_position"
    RESULT_PROOF = "result_proof"
    STATE_PROOF = "state_proof"
    SUMMARY = "summary"
    NOT_CANONICAL = "not_canonical"


_WORDS: Final[dict[Check, tuple[str, str]]] = {
    Check.FORMAT: ("文件不是所要求的格式", "the file is not of the required format"),
    Check.VERSION: ("版本不受支持", "the version is not supported"),
    Check.NETWORK: ("网络名称与信任点不符", "the network's name differs from the trusted one"),
    Check.CHAIN: ("区块属于另一条链", "the block belongs to another chain"),
    Check.EPOCH: ("区块属于另一纪元", "the block belongs to another epoch"),
    Check.VALIDATORS: ("验证者集合与信任点不符", "the validator set differs from the trusted one"),
    Check.TRUST_KEYS: (
        "信任点中的验证者密钥无效",
        "the trusted set holds a key that is not proven or occurs twice",
    ),
    Check.CERTIFICATE_KIND: ("法定证明不是最终确认", "the quorum certificate is not a Finalization"),
    Check.CERTIFICATE_SIGNERS: ("签名者不足法定人数", "the signers are no quorum of the validators"),
    Check.CERTIFICATE_SUBJECT: (
        "法定证明所指不是此区块或其后代",
        "the quorum certificate is for another block",
    ),
    Check.CERTIFICATE_SIGNATURE: ("法定证明的签名无效", "the quorum certificate's signature does not hold"),
    Check.PATH_TOO_LONG: ("区块头路径过长", "the path of headers is too long"),
    Check.PATH_NOT_LINKED: ("区块头路径不相连", "the path of headers is not linked"),
    Check.PATH_ORDER: (
        "区块头路径的高度、视图或时间次序有误",
        "height, view or time is out of order along the path",
    ),
    Check.PATH_FILLER: (
        "纪元末区块之上有不应存在的内容",
        "what follows the seal of an epoch changes or carries something",
    ),
    Check.SEAL: ("该区块不是纪元的末区块", "the block does not end its epoch"),
    Check.NEXT_VALIDATORS: (
        "新的验证者集合不是末区块所指定的集合",
        "the new validator set is not the one that the seal names",
    ),
    Check.NEXT_EPOCH: (
        "新的验证者集合不属于紧接的下一纪元",
        "the new validator set is not of the very next epoch",
    ),
    Check.NEXT_KEYS: (
        "新的验证者集合中有未证明或重复的密钥",
        "the new validator set holds a key that is not proven or occurs twice",
    ),
    Check.EPOCH_ORDER: ("纪元变更未按次序连续给出", "the epoch changes are not consecutive"),
    Check.SNAPSHOT_SHAPE: ("快照清单的划分有误", "the snapshot's chunks do not cover the state tree"),
    Check.SNAPSHOT_ROOT: (
        "快照清单与经确认的状态根不符",
        "the snapshot's chunks do not make the certified state root",
    ),
    Check.SNAPSHOT_CHUNK: ("快照分块与清单不符", "the chunk is not the one that the snapshot lists"),
    Check.SNAPSHOT_BLOCK: (
        "快照中的区块与其区块头不符",
        "the snapshot's block is not the one of its header",
    ),
    Check.TRANSACTION_CHAIN: ("交易属于另一条链", "the transaction belongs to another chain"),
    Check.TRANSACTION_PROOF: ("交易不在该区块中", "the transaction is not in the block"),
    Check.RESULT_TRANSACTION: ("执行结果属于另一笔交易", "the result is of another transaction"),
    Check.RESULT_POSITION: (
        "执行结果与交易的位置不一致",
        "transaction and result are at different positions",
    ),
    Check.RESULT_PROOF: ("执行结果不在该区块中", "the result is not in the block"),
    Check.STATE_PROOF: (
        "该区块的状态并非如此",
        "the state after the block is not what the receipt says",
    ),
    Check.SUMMARY: ("摘要与经证明的内容不符", "the summary differs from what is proven"),
    Check.NOT_CANONICAL: (
        "文件不是其内容的唯一写法",
        "the file is not the one way to write its content",
    ),
}


class ProofRejected(VerificationFailed):
    """A proof does not hold. Fields: check (stable), reason (en), reason_zh; detail where there is one."""

    zh = "验证不通过：{reason_zh}"


def rejected(check: Check, detail: str = "") -> ProofRejected:
    """The error for a failed check.

    Args:
        check: what failed.
        detail: where, in a few words; at most 200 characters are kept.
    """
    zh, en = _WORDS[check]
    if detail:
        detail = detail[:200]
        return ProofRejected(
            check=check.value, reason=f"{en} ({detail})", reason_zh=f"{zh}（{detail}）", detail=detail
        )
    return ProofRejected(check=check.value, reason=en, reason_zh=zh)
