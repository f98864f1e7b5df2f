#!/usr/bin/env node
/**
 * `zhenglian-verify FILE --trust T [--epochs E] [--json] [--lang zh|en]`: check a receipt offline.
 *
 * Rule: files and exit codes are those of `zhenglian verify`: 0 the receipt holds, 1 it does not, 2 a file cannot
 * be read or is too large, or the command was not understood. With --json, one JSON value on standard output.
 */

import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import {
  EPOCHS_FILE_SIZE_BYTES_MAX,
  RECEIPT_FILE_SIZE_BYTES_MAX,
  TRUST_FILE_SIZE_BYTES_MAX,
} from "./files.ts";
import {
  LimitExceeded,
  ProofRejected,
  type Proven,
  type Rejection,
  readTrust,
  type Trust,
  toHex,
  UnknownSuite,
  verify,
} from "./index.ts";

const HOLDS = 0;
const HOLDS_NOT = 1;
const UNUSABLE = 2;
const READ_BYTES = 1024 * 1024;

const USAGE = {
  zh: "用法：zhenglian-verify 回执文件 [--trust 信任文件] [--epochs 纪元变更文件] [--json] [--lang zh|en]",
  en: "Usage: zhenglian-verify FILE [--trust FILE] [--epochs FILE] [--json] [--lang zh|en]",
} as const;

type Language = keyof typeof USAGE;

/** What was given to the command cannot be used. */
class Unusable extends Error {}

function defaultLanguage(): Language {
  const { ZHENGLIAN_LANG, LC_ALL, LANG } = process.env;
  return (ZHENGLIAN_LANG || LC_ALL || LANG || "").toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** A file, or as much of it as shows that it is too large; what it is may not tell its size. */
function readBounded(path: string, what: string, sizeBytesMax: number): Buffer {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r");
    const parts: Buffer[] = [];
    let size = 0;
    for (;;) {
      const part = Buffer.alloc(Math.min(READ_BYTES, sizeBytesMax + 1 - size));
      const got = readSync(descriptor, part);
      if (got === 0) return Buffer.concat(parts, size);
      parts.push(part.subarray(0, got));
      size += got;
      if (size > sizeBytesMax) throw new LimitExceeded(`${what} bytes`, sizeBytesMax, size);
    }
  } catch (error) {
    if (error instanceof LimitExceeded) throw error;
    throw new Unusable(`${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function readTrustFile(path: string): Trust {
  try {
    return readTrust(readBounded(path, "trust", TRUST_FILE_SIZE_BYTES_MAX));
  } catch (error) {
    if (error instanceof ProofRejected) throw new Unusable(`${path}: ${error.message}`);
    throw error;
  }
}

function describe(proven: Proven, language: Language): string {
  const signed = `${proven.signers.length}/${proven.validators}`;
  const names = proven.signers.join(language === "zh" ? "、" : ", ");
  if (proven.kind === "transaction") {
    return language === "zh"
      ? `✓ 回执有效：${proven.call}，结果 ${proven.result}，区块高度 ${proven.height}，${proven.time}，${signed} 个验证者签名（${names}）`
      : `✓ The receipt holds: ${proven.call}, result ${proven.result}, height ${proven.height}, ${proven.time}, signed by ${signed} validators (${names})`;
  }
  const key = toHex(proven.key);
  const there = proven.value !== null;
  return language === "zh"
    ? `✓ 回执有效：区块高度 ${proven.height}（${proven.time}）之后，账本中${there ? "有" : "没有"}状态键 ${key}；${signed} 个验证者签名（${names}）`
    : `✓ The receipt holds: after block ${proven.height} (${proven.time}) the ledger held ${there ? "" : "nothing at all under "}state key ${key}; signed by ${signed} validators (${names})`;
}

function plain(proven: Proven): object {
  const { network, height, time, block, signers, validators } = proven;
  const shared = { height, time, block, signers, validators };
  if (proven.kind === "transaction") {
    const { transactionId, call, account, keyId, result } = proven;
    return {
      valid: true,
      network,
      transaction_id: transactionId,
      call,
      account,
      key_id: keyId,
      result,
      ...shared,
    };
  }
  const value = proven.value === null ? null : toHex(proven.value);
  return { valid: true, network, present: value !== null, key: toHex(proven.key), value, ...shared };
}

function plainRejection(verdict: Rejection): object {
  return { valid: false, check: verdict.check, message_zh: verdict.reasonZh, message_en: verdict.reasonEn };
}

function run(argv: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      trust: { type: "string" },
      epochs: { type: "string" },
      json: { type: "boolean", default: false },
      lang: { type: "string", default: defaultLanguage() },
    },
  });
  const language: Language = values.lang === "zh" ? "zh" : "en";
  const [path, ...more] = positionals;
  if (path === undefined || more.length > 0 || (values.lang !== "zh" && values.lang !== "en")) {
    throw new Unusable(USAGE[language]);
  }
  const trustPath = values.trust ?? join(dirname(path), "trust.json");
  const beside = join(dirname(trustPath), "epochs.json");
  const epochsPath = values.epochs ?? (existsSync(beside) ? beside : undefined);
  const trust = readTrustFile(trustPath);
  const receipt = readBounded(path, "receipt", RECEIPT_FILE_SIZE_BYTES_MAX);
  const epochs =
    epochsPath === undefined ? undefined : readBounded(epochsPath, "epochs", EPOCHS_FILE_SIZE_BYTES_MAX);
  const verdict = verify(receipt, trust, epochs);
  const shown = verdict.valid ? plain(verdict.proven) : plainRejection(verdict);
  const reason = verdict.valid
    ? describe(verdict.proven, language)
    : `✗ ${language === "zh" ? `验证不通过：${verdict.reasonZh}` : `Verification failed: ${verdict.reasonEn}`}`;
  process.stdout.write(`${values.json ? JSON.stringify(shown) : reason}\n`);
  return verdict.valid ? HOLDS : HOLDS_NOT;
}

function main(): number {
  try {
    return run(process.argv.slice(2));
  } catch (error) {
    const misused = error instanceof TypeError && "code" in error;
    if (!(
      error instanceof Unusable ||
      error instanceof LimitExceeded ||
      error instanceof UnknownSuite ||
      misused
    )) {
      throw error;
    }
    process.stderr.write(`${misused ? `${error.message}\n${USAGE[defaultLanguage()]}` : error.message}\n`);
    return UNUSABLE;
  }
}

process.exitCode = main();
