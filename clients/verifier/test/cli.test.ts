import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";

const VECTORS = fileURLToPath(new URL("../../../tests/vectors/proofs/intl/", import.meta.url));
const SOURCE = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zhenglian-verifier-"));
  const outfile = join(folder, "cli.mjs");
  buildSync({
    entryPoints: [SOURCE],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "es2022",
  });
});

afterAll(() => rmSync(folder, { recursive: true }));

function run(...args: string[]): { code: number | null; out: string; err: string } {
  const env = { PATH: process.env["PATH"] ?? "" };
  const ran = spawnSync(process.execPath, [join(folder, "cli.mjs"), ...args], { encoding: "utf8", env });
  return { code: ran.status, out: ran.stdout, err: ran.stderr };
}

const file = (name: string): string => join(VECTORS, `${name}.json`);

test("a good receipt is told with exit 0, in both languages and as JSON", () => {
  expect(run(file("receipt"))).toMatchObject({ code: 0, err: "" });
  expect(run(file("receipt"), "--lang", "zh").out).toContain("回执有效：grants.approve，结果 ok，区块高度 1");
  const told = JSON.parse(run(file("state_absent"), "--json").out);
  expect(told).toMatchObject({ valid: true, present: false, value: null, height: 1, validators: 4 });
});

test("the changes beside the trust file are found", () => {
  expect(run(file("state_epoch_3"))).toMatchObject({ code: 0 });
  copyFileSync(file("trust"), join(folder, "trust.json"));
  expect(run(file("state_epoch_3"), "--trust", join(folder, "trust.json"), "--json")).toMatchObject({
    code: 1,
  });
  const given = run(file("state_epoch_3"), "--trust", join(folder, "trust.json"), "--epochs", file("epochs"));
  expect(given.code).toBe(0);
});

test("a receipt that does not hold is told with exit 1 and a reason", () => {
  const ran = run(file("receipt"), "--trust", file("small_trust"), "--json");
  expect(ran.code).toBe(1);
  expect(JSON.parse(ran.out)).toEqual({
    valid: false,
    check: "chain",
    message_zh: "区块属于另一条链",
    message_en: "the block belongs to another chain",
  });
});

test.each([
  ["no file", []],
  ["a file that is not there", [join(VECTORS, "nowhere.json")]],
  ["two files", [file("receipt"), file("receipt")]],
  ["an unknown option", [file("receipt"), "--quick"]],
  ["an unknown language", [file("receipt"), "--lang", "fr"]],
  ["a trust file that is none", [file("receipt"), "--trust", file("receipt")]],
  ["a folder", [VECTORS]],
])("%s is bad input, exit 2", (_, args) => {
  const ran = run(...args);
  expect(ran.code).toBe(2);
  expect(ran.err.trim().split("\n").length).toBeLessThan(4);
});

test("a file without end is refused once it is too large", () => {
  const ran = run(file("receipt"), "--trust", "/dev/zero");
  expect(ran).toMatchObject({ code: 2 });
  expect(ran.err).toContain("Limit trust bytes exceeded");
  writeFileSync(join(folder, "huge.json"), Buffer.alloc(16 * 1024 * 1024 + 1, " "));
  expect(run(join(folder, "huge.json"), "--trust", file("trust")).code).toBe(2);
});
