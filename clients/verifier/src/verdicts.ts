/**
 * Every way in which a proof can fail, with its stable code and its words in zh and en, in one table.
 *
 * Rule: a proof is rejected with `rejected(check)` and nothing else. Codes and words are those of the Python
 * verifier (`ledger/verdicts.py`), compared by a test of the shared vectors.
 */

/** Check → [zh, en]. */
export const WORDS = {
  format: ["文件不是所要求的格式", "the file is not of the required format"],
  version: ["版本不受支持", "the version is not supported"],
  network: ["网络名称与信任点不符", "the network's name differs from the trusted one"],
  chain: ["区块属于另一条链", "the block belongs to another chain"],
  epoch: ["区块属于另一纪元", "the block belongs to another epoch"],
  validators: ["验证者集合与信任点不符", "the validator set differs from the trusted one"],
  trust_keys: ["信任点中的验证者密钥无效", "the trusted set holds a key that is not proven or occurs twice"],
  certificate_kind: ["法定证明不是最终确认", "the quorum certificate is not a Finalization"],
  certificate_signers: ["签名者不足法定人数", "the signers are no quorum of the validators"],
  certificate_subject: ["法定证明所指不是此区块或其后代", "the quorum certificate is for another block"],
  certificate_signature: ["法定证明的签名无效", "the quorum certificate's signature does not hold"],
  path_too_long: ["区块头路径过长", "the path of headers is too long"],
  path_not_linked: ["区块头路径不相连", "the path of headers is not linked"],
  path_order: ["区块头路径的高度、视图或时间次序有误", "height, view or time is out of order along the path"],
  path_filler: [
    "纪元末区块之上有不应存在的内容",
    "what follows the seal of an epoch changes or carries something",
  ],
  seal: ["该区块不是纪元的末区块", "the block does not end its epoch"],
  next_validators: [
    "新的验证者集合不是末区块所指定的集合",
    "the new validator set is not the one that the seal names",
  ],
  next_epoch: ["新的验证者集合不属于紧接的下一纪元", "the new validator set is not of the very next epoch"],
  next_keys: [
    "新的验证者集合中有未证明或重复的密钥",
    "the new validator set holds a key that is not proven or occurs twice",
  ],
  epoch_order: ["纪元变更未按次序连续给出", "the epoch changes are not consecutive"],
  transaction_chain: ["交易属于另一条链", "the transaction belongs to another chain"],
  transaction_proof: ["交易不在该区块中", "the transaction is not in the block"],
  result_transaction: ["执行结果属于另一笔交易", "the result is of another transaction"],
  result_position: ["执行结果与交易的位置不一致", "transaction and result are at different positions"],
  result_proof: ["执行结果不在该区块中", "the result is not in the block"],
  state_proof: ["该区块的状态并非如此", "the state after the block is not what the receipt says"],
  summary: ["摘要与经证明的内容不符", "the summary differs from what is proven"],
  not_canonical: ["文件不是其内容的唯一写法", "the file is not the one way to write its content"],
} as const;

/** What was checked and did not hold. */
export type Check = keyof typeof WORDS;

const DETAIL_MAX = 200;

/** A proof does not hold. */
export class ProofRejected extends Error {
  readonly check: Check;
  readonly reasonZh: string;
  readonly reasonEn: string;
  readonly detail: string;

  constructor(check: Check, detail = "") {
    const [zh, en] = WORDS[check];
    const kept = [...detail].slice(0, DETAIL_MAX).join("");
    super(kept ? `${en} (${kept})` : en);
    this.name = "ProofRejected";
    this.check = check;
    this.detail = kept;
    this.reasonEn = this.message;
    this.reasonZh = kept ? `${zh}（${kept}）` : zh;
  }
}

/** The error for a failed check; `detail` says where, in a few words. */
export function rejected(check: Check, detail = ""): ProofRejected {
  return new ProofRejected(check, detail);
}

/** A named limit was passed. */
export class LimitExceeded extends Error {
  readonly code = "limit_exceeded";
  readonly limit: string;
  readonly maximum: number;
  readonly actual: number;

  constructor(limit: string, maximum: number, actual: number) {
    super(`Limit ${limit} exceeded: at most ${maximum}, got ${actual}`);
    this.name = "LimitExceeded";
    this.limit = limit;
    this.maximum = maximum;
    this.actual = actual;
  }
}

/** The trust point names a crypto suite that this release does not have. */
export class UnknownSuite extends Error {
  readonly code = "unknown_suite";

  constructor(name: string) {
    super(`Unknown crypto suite: ${[...name].slice(0, 64).join("")}`);
    this.name = "UnknownSuite";
  }
}
