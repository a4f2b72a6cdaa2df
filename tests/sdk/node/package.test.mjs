// What is handed out: small enough, with types that hold, and installable from the tarball of `npm pack`.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import zlib from "node:zlib";
import { ROOT } from "../harness/gateway.mjs";

const SDK = path.join(ROOT, "static/sdk");
const TSC = path.join(ROOT, ".cache/sdk/node_modules/.bin/tsc");
// Bytes as they are served, behind gzip -9.
const CORE = 8_000;
const ALL = 14_000;
// Apart: whoever shares work among machines is rarely a page on a phone, for which the others are counted together.
const GROUP = 3_500;

let work;

before(() => (work = fs.mkdtempSync(path.join(os.tmpdir(), "tidegate-sdk-package-"))));
after(() => fs.rmSync(work, { recursive: true, force: true }));

function run(program, args, cwd) {
  const done = spawnSync(program, args, { cwd, encoding: "utf8", timeout: 120_000 });
  assert.equal(done.status, 0, `${program} ${args.join(" ")}: ${done.error ?? ""}${done.stdout}${done.stderr}`);
  return done.stdout;
}

const zipped = (file) => zlib.gzipSync(fs.readFileSync(path.join(SDK, file)), { level: 9 }).length;

test("the core and all together keep within their sizes", () => {
  const { "group.js": group, ...sizes } = Object.fromEntries(
    ["tidegate.js", "fallback.js", "outbox.js", "group.js"].map((file) => [file, zipped(file)]),
  );
  console.log(`gzip -9: ${JSON.stringify({ ...sizes, "group.js": group })}`);
  assert.ok(sizes["tidegate.js"] <= CORE, `tidegate.js has ${sizes["tidegate.js"]} bytes, ${CORE} are allowed`);
  const all = Object.values(sizes).reduce((sum, size) => sum + size);
  assert.ok(all <= ALL, `together they have ${all} bytes, ${ALL} are allowed`);
  assert.ok(group <= GROUP, `group.js has ${group} bytes, ${GROUP} are allowed`);
});

test("it is installed from its tarball, imported by its four names, and typed", () => {
  const [{ filename, files }] = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", work, SDK], work));
  const packed = files.map((file) => file.path).sort();
  const modules = ["fallback", "group", "outbox", "tidegate"].flatMap((name) => [`${name}.d.ts`, `${name}.js`]);
  assert.deepEqual(packed, ["LICENSE", "README.md", ...modules, "package.json"].sort());
  fs.writeFileSync(path.join(work, "package.json"), '{"type":"module","private":true}');
  run("npm", ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", `./${filename}`], work);
  const lines = ["tidegate", "tidegate/fallback", "tidegate/outbox", "tidegate/group"].map((name) => `Object.keys(await import("${name}"))`);
  const names = run(process.execPath, ["--input-type=module", "-e", `console.log(JSON.stringify([${lines}]))`], work);
  assert.deepEqual(JSON.parse(names), [
    ["TidegateError", "connect", "decodeCursor", "encodeCursor", "internals"],
    ["TidegateError", "connect"],
    ["Memory", "openOutbox"],
    ["TidegateError", "connect"],
  ]);
  fs.copyFileSync(path.join(ROOT, "tests/sdk/node/types.ts"), path.join(work, "types.ts"));
  const strict = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noUnusedLocals"];
  const where = ["--target", "es2022", "--lib", "es2022,dom", "--module", "nodenext", "--types", ""];
  run(TSC, [...strict, ...where, "types.ts"], work);
});

test("the package has the version of the gateway", () => {
  const [, version] = /^version = "(.+)"$/m.exec(fs.readFileSync(path.join(ROOT, "Cargo.toml"), "utf8"));
  assert.equal(JSON.parse(fs.readFileSync(path.join(SDK, "package.json"), "utf8")).version, version);
});
