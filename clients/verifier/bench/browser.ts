/**
 * How long a receipt takes in a browser: `node browser.mjs BUNDLE SAMPLES CHROMIUM`, figures as JSON on standard output.
 *
 * SAMPLES is a JSON file: `{trust, receipts}` by name, each receipt of a block of its own, so that no certificate is
 * verified twice. Every group begins in a fresh page; its first receipt is timed by itself, before the engine has
 * compiled anything.
 */

import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

interface Group {
  readonly trust: string;
  readonly receipts: readonly string[];
}

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-extensions"];
const [bundlePath, samplesPath, executablePath] = process.argv.slice(2);
if (bundlePath === undefined || samplesPath === undefined || executablePath === undefined) {
  throw new Error("bundle, samples and browser are needed");
}
const code = readFileSync(bundlePath, "utf8");
const groups = JSON.parse(readFileSync(samplesPath, "utf8")) as Record<string, Group>;

/** Runs in the page. */
async function measure({ code, group }: { code: string; group: Group }): Promise<number[]> {
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const { verify } = (await import(url)) as typeof import("../src/index.ts");
  return group.receipts.map((receipt) => {
    const start = performance.now();
    const verdict = verify(receipt, group.trust);
    if (!verdict.valid) throw new Error(verdict.reasonEn);
    return performance.now() - start;
  });
}

const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS });
try {
  const figures: Record<string, number[]> = {};
  for (const [name, group] of Object.entries(groups)) {
    const page = await browser.newPage();
    figures[name] = await page.evaluate(measure, { code, group });
    await page.close();
  }
  process.stdout.write(`${JSON.stringify({ browser: browser.version(), milliseconds: figures })}\n`);
} finally {
  await browser.close();
}
