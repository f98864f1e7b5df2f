/**
 * Builds `dist/`: the module for Node (its dependencies stay outside), one file for browsers with all of it, and
 * the command.
 */

import { rmSync } from "node:fs";
import { build } from "esbuild";

rmSync("dist", { recursive: true, force: true });
const shared = { bundle: true, format: "esm", target: "es2022", logLevel: "warning" } as const;
await build({
  ...shared,
  entryPoints: ["src/index.ts", "src/cli.ts"],
  outdir: "dist",
  platform: "node",
  packages: "external",
});
await build({
  ...shared,
  entryPoints: { "zhenglian-verifier": "src/index.ts" },
  outdir: "dist",
  platform: "browser",
  minify: true,
  legalComments: "eof",
});
