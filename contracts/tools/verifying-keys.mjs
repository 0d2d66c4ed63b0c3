#!/usr/bin/env node
// Makes keys/<name>.json, the Groth16 verifying keys of the proof systems, from what their makers publish, and
// bindings/keys.rs from those.
//   node tools/verifying-keys.mjs SOURCES           write, from a folder that holds the unpacked crates (cargo's
//                                                   registry source folder, after `cargo info NAME@VERSION` of each)
//   node tools/verifying-keys.mjs --check           what is committed agrees with itself: points on their curves and
//                                                   in their groups, selectors that follow from the keys, keys.rs
//   node tools/verifying-keys.mjs --check SOURCES   and is what the sources say
// No crate publishes a key for Pico: SOURCES/pico/Groth16Verifier.sol is taken when it is there, the committed key
// is kept otherwise.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

// BN254 as in EIP-196 and EIP-197. P: order of the base field, R: order of the groups.
const P = 21888242871839275222246405745257275088696311157297823662689037894645226208583n;
const R = 21888242871839275222246405745257275088548364400416034343698204186575808495617n;

const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
const hex = (bytes) => "0x" + Buffer.from(bytes).toString("hex");
const word = (value) => "0x" + value.toString(16).padStart(64, "0");
const bytes32 = (value) => Buffer.from(word(value).slice(2), "hex");
const number = (bytes) => BigInt("0x" + Buffer.from(bytes).toString("hex"));
const fail = (reason) => {
  throw new Error(reason);
};

// ------------------------------------------------------------------------------------------------- the curve

const mod = (a) => ((a % P) + P) % P;
function power(base, exponent) {
  let result = 1n;
  for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = mod(b * b)) if (e & 1n) result = mod(result * b);
  return result;
}
const inverse = (a) => power(a, P - 2n);
function root1(a) {
  const r = power(a, (P + 1n) / 4n);
  return mod(r * r) === mod(a) ? r : undefined;
}
// An element of Fp2 is [c0, c1] for c0 + c1 i, i² = -1.
const add2 = (a, b) => [mod(a[0] + b[0]), mod(a[1] + b[1])];
const sub2 = (a, b) => [mod(a[0] - b[0]), mod(a[1] - b[1])];
const mul2 = (a, b) => [mod(a[0] * b[0] - a[1] * b[1]), mod(a[0] * b[1] + a[1] * b[0])];
const neg2 = (a) => [mod(-a[0]), mod(-a[1])];
const same2 = (a, b) => a[0] === b[0] && a[1] === b[1];
function inverse2(a) {
  const norm = inverse(mod(a[0] * a[0] + a[1] * a[1]));
  return [mod(a[0] * norm), mod(-a[1] * norm)];
}
function root2(a) {
  const norm = root1(a[0] * a[0] + a[1] * a[1]) ?? fail("an element of Fp2 has no root");
  for (const n of [norm, mod(-norm)]) {
    const x = root1((a[0] + n) * inverse(2n));
    if (x === undefined || x === 0n) continue;
    const root = [x, mod(a[1] * inverse(2n * x))];
    if (same2(mul2(root, root), [mod(a[0]), mod(a[1])])) return root;
  }
  return fail("an element of Fp2 has no root");
}
const B2 = mul2([3n, 0n], inverse2([9n, 1n]));
const rhs2 = (x) => add2(mul2(mul2(x, x), x), B2);

// Points of the twist: {x, y}, undefined for infinity.
function addPoints(p, q) {
  if (p === undefined) return q;
  if (q === undefined) return p;
  if (same2(p.x, q.x) && same2(p.y, neg2(q.y))) return undefined;
  const slope = same2(p.x, q.x)
    ? mul2(mul2([3n, 0n], mul2(p.x, p.x)), inverse2(add2(p.y, p.y)))
    : mul2(sub2(q.y, p.y), inverse2(sub2(q.x, p.x)));
  const x = sub2(sub2(mul2(slope, slope), p.x), q.x);
  return { x, y: sub2(mul2(slope, sub2(p.x, x)), p.y) };
}
function times(p, scalar) {
  let result;
  for (let b = p, s = scalar; s > 0n; s >>= 1n, b = addPoints(b, b)) if (s & 1n) result = addPoints(result, b);
  return result;
}

function requireG1([x, y], what) {
  if (x >= P || y >= P) fail(`${what}: a coordinate is no element of the field`);
  if (mod(y * y) !== mod(x * x * x + 3n)) fail(`${what} is not on the curve`);
}
// EIP-197's order: imaginary part first.
function requireG2([x1, x0, y1, y0], what) {
  if ([x1, x0, y1, y0].some((c) => c >= P)) fail(`${what}: a coordinate is no element of the field`);
  const p = { x: [x0, x1], y: [y0, y1] };
  if (!same2(mul2(p.y, p.y), rhs2(p.x))) fail(`${what} is not on the twist`);
  if (times(p, R) !== undefined) fail(`${what} is not in the group of order r`);
}
function requireKey(key, name) {
  requireG1(key.alpha, `${name}: alpha`);
  for (const part of ["beta", "gamma", "delta"]) requireG2(key[part], `${name}: ${part}`);
  key.points.forEach((point, i) => requireG1(point, `${name}: point ${i}`));
}

// -------------------------------------------------------------------------------- what the makers publish

// gnark's compressed points: big endian, the two top bits are 0b10 for the smaller y and 0b11 for the larger one.
function flags(bytes) {
  const sign = bytes[0] >> 6;
  if (sign !== 2 && sign !== 3) fail("a compressed point has an unknown flag");
  return { larger: sign === 3, x: number([bytes[0] & 0x3f, ...bytes.subarray(1, 32)]) };
}
function compressedG1(bytes) {
  const { larger, x } = flags(bytes);
  const y = root1(x * x * x + 3n) ?? fail("a compressed point is not on the curve");
  return [x, larger === y > P - y ? y : P - y];
}
function compressedG2(bytes) {
  const { larger, x: x1 } = flags(bytes);
  const x0 = number(bytes.subarray(32, 64));
  const y = root2(rhs2([x0, x1]));
  const isLarger = y[1] === 0n ? y[0] > P - y[0] : y[1] > P - y[1];
  const [y0, y1] = isLarger === larger ? y : neg2(y);
  return [x1, x0, y1, y0];
}
// gnark's verifying key: alpha, beta (G1), beta, gamma, delta (G1), delta, count of the points, the points; then
// what Groth16 without commitments has no use for.
function gnarkKey(file) {
  const g1 = (at) => compressedG1(file.subarray(at, at + 32));
  const g2 = (at) => compressedG2(file.subarray(at, at + 64));
  const count = file.readUInt32BE(288);
  return {
    alpha: g1(0),
    beta: g2(64),
    gamma: g2(128),
    delta: g2(224),
    points: Array.from({ length: count }, (_, i) => g1(292 + 32 * i)),
  };
}

function rustByteArray(text, name) {
  const body = new RegExp(`${name}: \\[u8; 32\\] = \\[([^\\]]*)\\]`).exec(text) ?? fail(`${name} is not there`);
  const bytes = body[1].match(/0x[0-9a-f]{2}/g).map(Number);
  return bytes.length === 32 ? hex(bytes) : fail(`${name} has not 32 bytes`);
}
const rustDigest = (text, name) =>
  "0x" + (new RegExp(`${name}: Digest =\\s*digest!\\("([0-9a-f]{64})"\\)`).exec(text) ?? fail(`no ${name}`))[1];

// The constants of risc0-groth16: X1 and Y1 are the imaginary parts.
function risc0Key(text) {
  const constant = (name) =>
    BigInt((new RegExp(`const ${name}: &str =\\s*"(\\d+)"`).exec(text) ?? fail(`no ${name}`))[1]);
  const g2 = (name) => ["X1", "X2", "Y1", "Y2"].map((part) => constant(`${name}_${part}`));
  return {
    alpha: [constant("ALPHA_X"), constant("ALPHA_Y")],
    beta: g2("BETA"),
    gamma: g2("GAMMA"),
    delta: g2("DELTA"),
    points: Array.from({ length: 6 }, (_, i) => [constant(`IC${i}_X`), constant(`IC${i}_Y`)]),
  };
}

// The constants of gnark's Solidity template: its points of G2 are negated, part 0 is the real one.
function gnarkSolidityKey(text) {
  const constant = (name) =>
    BigInt((new RegExp(`uint256 constant ${name} = (\\d+);`).exec(text) ?? fail(`no ${name}`))[1]);
  const g2 = (name) => {
    const [x1, x0, y1, y0] = ["X_1", "X_0", "Y_1", "Y_0"].map((part) => constant(`${name}_NEG_${part}`));
    return [x1, x0, mod(-y1), mod(-y0)];
  };
  const points = [[constant("CONSTANT_X"), constant("CONSTANT_Y")]];
  for (let i = 0; text.includes(`PUB_${i}_X =`); i++) points.push([constant(`PUB_${i}_X`), constant(`PUB_${i}_Y`)]);
  return {
    alpha: [constant("ALPHA_X"), constant("ALPHA_Y")],
    beta: g2("BETA"),
    gamma: g2("GAMMA"),
    delta: g2("DELTA"),
    points,
  };
}

// ------------------------------------------------------------------------------------------------ selectors

// SP1: the first bytes of the hash of the key's file (sp1-verifier, src/groth16/mod.rs).
const sp1Selector = (file) => hex(sha256(file).subarray(0, 4));

// RISC Zero: the first bytes of the digest of the verifier's parameters (risc0-zkvm, src/receipt/groth16.rs; the
// digests: risc0-groth16, src/verifier.rs, and risc0-binfmt, src/hash.rs).
function risc0Selector(key, controlRoot, bn254ControlId) {
  const count = (n) => Buffer.from([n & 0xff, n >> 8]);
  const tagged = (tag, down) => sha256(Buffer.concat([sha256(tag), ...down, count(down.length)]));
  const point = (coordinates) => sha256(Buffer.concat(coordinates.map(bytes32)));
  const digest = tagged("risc0_groth16.VerifyingKey", [
    point(key.alpha),
    point(key.beta),
    point(key.gamma),
    point(key.delta),
    key.points.reduceRight(
      (list, p) => tagged("risc0_groth16.VerifyingKey.IC", [point(p), list]),
      Buffer.alloc(32),
    ),
  ]);
  const parameters = [controlRoot, bn254ControlId].map((value) => Buffer.from(value.slice(2), "hex"));
  return hex(tagged("risc0.Groth16ReceiptVerifierParameters", [...parameters, digest]).subarray(0, 4));
}

// ------------------------------------------------------------------------------------------------- the files

const crate = (sources, name, version, path) => readFileSync(join(sources, `${name}-${version}`, path));
function origin(name, version, licence, path, file) {
  return { crate: name, version, licence, path, sha256: hex(sha256(file)) };
}

function fromSp1(sources, version, path, rootFile) {
  const licence = "MIT OR Apache-2.0";
  const file = crate(sources, "sp1-verifier", version, path);
  const made = {
    sources: [{ ...origin("sp1-verifier", version, licence, path, file), bytes: hex(file) }],
    selector: sp1Selector(file),
  };
  if (rootFile !== undefined) {
    const text = crate(sources, "sp1-verifier", version, rootFile);
    made.sources.push(origin("sp1-verifier", version, licence, rootFile, text));
    made.vkRoot = rustByteArray(text.toString(), "VK_ROOT_BYTES");
  }
  return { ...made, key: gnarkKey(file) };
}

function fromRisc0(sources) {
  const key = crate(sources, "risc0-groth16", "3.0.5", "src/verifier.rs");
  const ids = crate(sources, "risc0-circuit-recursion", "4.0.4", "src/control_id.rs");
  const made = {
    sources: [
      origin("risc0-groth16", "3.0.5", "Apache-2.0", "src/verifier.rs", key),
      origin("risc0-circuit-recursion", "4.0.4", "Apache-2.0", "src/control_id.rs", ids),
    ],
    controlRoot: rustDigest(ids.toString(), "ALLOWED_CONTROL_ROOT"),
    bn254ControlId: rustDigest(ids.toString(), "BN254_IDENTITY_CONTROL_ID"),
    key: risc0Key(key.toString()),
  };
  return { ...made, selector: risc0Selector(made.key, made.controlRoot, made.bn254ControlId) };
}

function fromPico(sources) {
  const file = join(sources, "pico", "Groth16Verifier.sol");
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file);
  const repository = "github.com/brevis-network/pico-zkapp-template";
  const commit = "82ddf2058894bd2eb792f0a779e259fdfde3cc00";
  const path = "contracts/src/Groth16Verifier.sol";
  return {
    sources: [{ repository, commit, licence: "MIT", path, sha256: hex(sha256(text)) }],
    key: gnarkSolidityKey(text.toString()),
  };
}

// name -> how it is made, and what the committed file must satisfy on its own.
const KEYS = {
  "sp1-v6.1": {
    system: "SP1 v6.1",
    make: (sources) => fromSp1(sources, "6.10.0", "vk-artifacts/groth16_vk.bin", "src/lib.rs"),
  },
  "sp1-v5": { system: "SP1 v5", make: (sources) => fromSp1(sources, "5.2.4", "bn254-vk/groth16_vk.bin") },
  "risc0-v3": { system: "RISC Zero v3", make: fromRisc0 },
  pico: { system: "Pico", make: fromPico },
};

const PARTS = ["alpha", "beta", "gamma", "delta"];
const sameKey = (a, b) => PARTS.every((part) => String(a[part]) === String(b[part])) && String(a.points) === String(b.points);

function render(system, made) {
  const key = {};
  for (const part of PARTS) key[part] = made.key[part].map(word);
  key.points = made.key.points.map((point) => point.map(word));
  const parameters = {};
  for (const name of ["selector", "vkRoot", "controlRoot", "bn254ControlId"]) {
    if (made[name] !== undefined) parameters[name] = made[name];
  }
  return JSON.stringify({ system, sources: made.sources, ...parameters, key }, null, 1) + "\n";
}
function parse(text) {
  const found = JSON.parse(text);
  const key = {};
  for (const part of PARTS) key[part] = found.key[part].map(BigInt);
  key.points = found.key.points.map((point) => point.map(BigInt));
  return { ...found, key };
}

function requireConsistent(name, made) {
  requireKey(made.key, name);
  const [source] = made.sources;
  if (source.bytes !== undefined) {
    const file = Buffer.from(source.bytes.slice(2), "hex");
    if (hex(sha256(file)) !== source.sha256) fail(`${name}: the key's file has another hash`);
    if (sp1Selector(file) !== made.selector) fail(`${name}: the selector is not that of the key's file`);
    if (!sameKey(gnarkKey(file), made.key)) fail(`${name}: the key is not that of its file`);
  }
  if (made.controlRoot !== undefined) {
    if (risc0Selector(made.key, made.controlRoot, made.bn254ControlId) !== made.selector) {
      fail(`${name}: the selector is not that of the key and the control ids`);
    }
  }
}

// ---------------------------------------------------------------------------------------------- Rust constants

const PACKED = { "sp1-v6.1": "SP1_V6_1", "sp1-v5": "SP1_V5", "risc0-v3": "RISC0_V3", pico: "PICO" };
function rust(all) {
  const lines = [
    "//! The verifying keys of `contracts/keys`, made by `tools/verifying-keys.mjs`. Do not edit.",
    "",
    "use alloy_primitives::{B256, FixedBytes, b256, fixed_bytes};",
    "",
    "use crate::verifiers::Key;",
  ];
  const list = (words) => words.map((w) => `b256!("${w.slice(2)}"),`);
  for (const [name, made] of Object.entries(all)) {
    const id = PACKED[name];
    const constant = (part, type, value) => lines.push(`pub(crate) const ${id}${part}: ${type} = ${value};`);
    lines.push("");
    if (made.selector) constant("_SELECTOR", "FixedBytes<4>", `fixed_bytes!("${made.selector.slice(2)}")`);
    for (const [part, value] of [
      ["_VK_ROOT", made.vkRoot],
      ["_CONTROL_ROOT", made.controlRoot],
      ["_BN254_CONTROL_ID", made.bn254ControlId],
    ]) {
      if (value !== undefined) {
        lines.push(`pub(crate) const ${id}${part}: B256 =`, `    b256!("${value.slice(2)}");`);
      }
    }
    lines.push(`pub(crate) const ${id}: Key = Key {`);
    for (const part of PARTS) {
      lines.push(`    ${part}: [`, ...list(made.key[part].map(word)).map((l) => `        ${l}`), "    ],");
    }
    lines.push("    points: &[");
    for (const point of made.key.points) {
      lines.push("        [", ...list(point.map(word)).map((l) => `            ${l}`), "        ],");
    }
    lines.push("    ],", "};");
  }
  return lines.join("\n") + "\n";
}

// -------------------------------------------------------------------------------------------------------- main

const check = process.argv.includes("--check");
const sources = process.argv.slice(2).find((argument) => !argument.startsWith("--"));
if (!check && sources === undefined) {
  process.stderr.write("usage: verifying-keys.mjs [--check] [SOURCES]\n");
  process.exit(2);
}
try {
  const differing = [];
  const put = (path, text) => {
    const file = join(root, path);
    if (!check) writeFileSync(file, text);
    else if (!existsSync(file) || readFileSync(file, "utf8") !== text) differing.push(path);
  };
  const all = {};
  for (const [name, { system, make }] of Object.entries(KEYS)) {
    const path = `keys/${name}.json`;
    const made = sources === undefined ? undefined : make(sources);
    if (made !== undefined) put(path, render(system, made));
    const committed = readFileSync(join(root, path), "utf8");
    all[name] = parse(committed);
    requireConsistent(name, all[name]);
    // One way of writing it.
    put(path, render(system, all[name]));
  }
  put("bindings/keys.rs", rust(all));
  const strays = readdirSync(join(root, "keys")).filter((file) => !(file.replace(/\.json$/, "") in KEYS));
  if (differing.length + strays.length > 0) {
    const what = [
      ...[...new Set(differing)].map((file) => `${file} is not what it is made from`),
      ...strays.map((file) => `keys/${file} belongs to no proof system`),
    ];
    fail(`run \`node tools/verifying-keys.mjs SOURCES\`:\n  ${what.join("\n  ")}`);
  }
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
