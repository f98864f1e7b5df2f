import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readProof, timeText } from "../src/files.ts";
import {
  type Json,
  type JsonTree,
  MalformedJson,
  parse,
  render,
  sameButForSpace,
  sameTree,
} from "../src/json.ts";
import { read, SUITES, verdictOf } from "./vectors.ts";

const SEED = 20_261_123;
const options = { seed: SEED, numRuns: 300 };

/** What JSON.parse and JSON.stringify agree on with us: no fractions, and integers that both can hold. */
const values = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.string({ unit: "binary" }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie("value"), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

function toTree(value: unknown): Json {
  if (typeof value === "number") return BigInt(value);
  if (Array.isArray(value)) return value.map(toTree);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, toTree(item)]));
  }
  return value as Json;
}

function fromTree(tree: JsonTree): unknown {
  if (tree instanceof Map) return Object.fromEntries([...tree].map(([name, item]) => [name, fromTree(item)]));
  if (Array.isArray(tree)) return tree.map(fromTree);
  return typeof tree === "bigint" ? Number(tree) : tree;
}

test("what is rendered reads back as itself", () => {
  fc.assert(
    fc.property(values, (value) => {
      const tree = toTree(value);
      const text = render(tree);
      expect(sameTree(parse(text), tree)).toBe(true);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(sameButForSpace(text, JSON.stringify(value))).toBe(true);
    }),
    options,
  );
});

test("a text is JSON for us only if it is for everybody, and then means the same", () => {
  const pieces = fc.constantFrom(...'{}[]",:\\ \n\t0123456789-+.eEutrfalsn/x\u0001測𠮷');
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const text = parts.join("");
      let ours: JsonTree;
      try {
        ours = parse(text);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedJson);
        return;
      }
      expect(JSON.stringify(fromTree(ours))).toBe(JSON.stringify(JSON.parse(text)).replaceAll("-0", "0"));
    }),
    { seed: SEED, numRuns: 5000 },
  );
});

test("times are written as far as the calendar goes", () => {
  expect(timeText(0n)).toBe("1970-01-01T00:00:00.000Z");
  expect(timeText(253_402_300_799_999n)).toBe("9999-12-31T23:59:59.999Z");
  expect(timeText(253_402_300_800_000n)).toBe("253402300800000 ms");
});

describe.each(SUITES)("%s", (suite) => {
  const files = ["receipt", "state_historic", "receipt_epoch_2"].map((name) =>
    read(`proofs/${suite}/${name}.json`),
  );
  const trust = read(`proofs/${suite}/trust.json`);
  const epochs = read(`proofs/${suite}/epochs.json`);

  const splices = fc.array(
    fc.record({
      at: fc.nat(),
      remove: fc.nat({ max: 40 }),
      insert: fc.oneof(
        fc.uint8Array({ maxLength: 20 }),
        fc.string({ maxLength: 8 }).map((text) => Buffer.from(text)),
      ),
    }),
    { minLength: 1, maxLength: 3 },
  );
  const spliced = (
    data: Buffer,
    changes: readonly { at: number; remove: number; insert: Uint8Array }[],
  ): Buffer =>
    changes.reduce((before, { at, remove, insert }) => {
      const start = at % (before.length + 1);
      return Buffer.concat([before.subarray(0, start), insert, before.subarray(start + remove)]);
    }, data);

  test("a file that was tampered with is rejected with a reason, never a crash", () => {
    fc.assert(
      fc.property(fc.nat({ max: files.length - 1 }), splices, (index, changes) => {
        const good = files[index] as Buffer;
        const data = spliced(good, changes);
        if (!data.equals(good)) expect(verdictOf(data, trust, epochs)).not.toBe("valid");
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  test("trust and changes that were tampered with are no crash either, and never make a bad receipt good", () => {
    const bad = Buffer.from((files[0] as Buffer).toString().replaceAll('"ok"', '"no"'));
    fc.assert(
      fc.property(splices, splices, (one, other) => {
        expect(verdictOf(bad, spliced(trust, one), spliced(epochs, other))).not.toBe("valid");
        verdictOf(files[2] as Buffer, trust, spliced(epochs, other));
      }),
      options,
    );
  });

  test("a receipt that is read is the one that was written", () => {
    for (const data of files) expect(readProof(data.toString())).toEqual(readProof(data));
  });
});
