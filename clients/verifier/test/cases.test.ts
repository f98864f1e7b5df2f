import { describe, expect, test } from "vitest";
import { readTrust } from "../src/files.ts";
import { type Case, filesOf, read, readJson, SUITES, verdictOf } from "./vectors.ts";

describe.each(SUITES)("%s", (suite) => {
  test.each(readJson<Case[]>(`proofs/${suite}/cases.json`))("$name → $verdict", (found) => {
    expect(verdictOf(...filesOf(suite, found))).toBe(found.verdict);
  });

  test.each(["small_receipt", "small_state"])("every flipped bit of %s is rejected with a reason", (name) => {
    const trust = readTrust(read(`proofs/${suite}/small_trust.json`));
    const data = read(`proofs/${suite}/${name}.json`);
    expect(verdictOf(data, trust)).toBe("valid");
    const verdicts = new Set<string>();
    for (let bit = 0; bit < 8 * data.length; bit++) {
      data[bit >> 3] = (data[bit >> 3] as number) ^ (1 << (bit & 7));
      verdicts.add(verdictOf(data, trust));
      data[bit >> 3] = (data[bit >> 3] as number) ^ (1 << (bit & 7));
    }
    expect(verdicts).not.toContain("valid");
    for (const check of ["format", "summary", "certificate_subject", "certificate_signature"]) {
      expect(verdicts).toContain(check);
    }
  });
});
