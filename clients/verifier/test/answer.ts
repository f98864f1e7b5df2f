/**
 * Verdicts on demand, for the comparison with the Python verifier (`tests/fuzz/verifiers.py`).
 *
 * Standard input holds questions: receipt, trust and epochs, each after its size in 4 bytes, most significant
 * first; a size of 2^32 − 1 stands for none. For each, a line on standard output.
 */

import { verdictOf } from "./vectors.ts";

const NONE = 0xffff_ffff;
const PARTS = 3;

let waiting: Buffer = Buffer.alloc(0);
for await (const chunk of process.stdin) {
  waiting = Buffer.concat([waiting, chunk as Buffer]);
  for (let question = take(); question !== undefined; question = take()) {
    const [receipt, trust, epochs] = question;
    process.stdout.write(`${verdictOf(receipt ?? Buffer.alloc(0), trust ?? Buffer.alloc(0), epochs)}\n`);
  }
}

/** The next question, taken off what waits; undefined where it is not all there. */
function take(): (Buffer | undefined)[] | undefined {
  const parts: (Buffer | undefined)[] = [];
  let at = 0;
  for (let part = 0; part < PARTS; part++) {
    if (waiting.length < at + 4) return undefined;
    const size = waiting.readUInt32BE(at);
    at += 4;
    if (size !== NONE) {
      if (waiting.length < at + size) return undefined;
      parts.push(waiting.subarray(at, at + size));
      at += size;
    } else parts.push(undefined);
  }
  waiting = waiting.subarray(at);
  return parts;
}
