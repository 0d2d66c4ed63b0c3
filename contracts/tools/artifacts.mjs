#!/usr/bin/env node
// Writes artifacts/<Name>.json from forge's out/: abi, bytecode, deployedBytecode, in a stable form.
//   node tools/artifacts.mjs           write (after `forge build`)
//   node tools/artifacts.mjs --check   fail when the committed artifacts are not those of out/
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
// name -> [source file, whether it is for tests only]
const CONTRACTS = {
  AcceptAllVerifier: ["AcceptAllVerifier.sol", true],
  AttestationVerifier: ["AttestationVerifier.sol", false],
  Carrier: ["DeterministicDeployer.sol", false],
  CommonBridge: ["CommonBridge.sol", false],
  CommonBridgeL2: ["CommonBridgeL2.sol", false],
  DeterministicDeployer: ["DeterministicDeployer.sol", false],
  ERC1967Proxy: ["ERC1967Proxy.sol", false],
  NestedWithdrawer: ["NestedWithdrawer.sol", true],
  OnChainProposer: ["OnChainProposer.sol", false],
  PicoVerifier: ["PicoVerifier.sol", false],
  Risc0DevelopmentVerifier: ["Risc0DevelopmentVerifier.sol", false],
  Risc0Verifier: ["Risc0Verifier.sol", false],
  Sp1Verifier: ["Sp1Verifier.sol", false],
  TimelockController: ["TimelockController.sol", false],
};

const sorted = (value) =>
  Array.isArray(value)
    ? value.map(sorted)
    : value && typeof value === "object"
      ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
      : value;

function render(name, source, testOnly) {
  const found = JSON.parse(readFileSync(join(root, "out", source, `${name}.json`), "utf8"));
  for (const part of ["bytecode", "deployedBytecode"]) {
    if (Object.keys(found[part].linkReferences ?? {}).length > 0) {
      throw new Error(`${name}: ${part} has unlinked libraries`);
    }
  }
  // The L1 contracts may use what the L1 has; the L2 runs Prague.
  const evm = ["CommonBridgeL2", "NestedWithdrawer"].includes(name) ? "prague" : "osaka";
  if (found.metadata.settings.evmVersion !== evm) {
    throw new Error(`${name} was compiled for ${found.metadata.settings.evmVersion} instead of ${evm}`);
  }
  const order = (entry) => `${entry.type}:${entry.name ?? ""}:${(entry.inputs ?? []).map((i) => i.type).join(",")}`;
  const abi = found.abi.map(sorted).sort((a, b) => (order(a) < order(b) ? -1 : order(a) > order(b) ? 1 : 0));
  const artifact = { contractName: name };
  if (testOnly) artifact.testOnly = true;
  artifact.abi = abi;
  artifact.bytecode = found.bytecode.object;
  artifact.deployedBytecode = found.deployedBytecode.object;
  return JSON.stringify(artifact, null, 1) + "\n";
}

const check = process.argv.includes("--check");
const dir = join(root, "artifacts");
mkdirSync(dir, { recursive: true });
const differing = [];
for (const [name, [source, testOnly]] of Object.entries(CONTRACTS)) {
  const file = join(dir, `${name}.json`);
  const text = render(name, source, testOnly);
  if (!check) {
    writeFileSync(file, text);
    continue;
  }
  let committed;
  try {
    committed = readFileSync(file, "utf8");
  } catch {
    committed = undefined;
  }
  if (committed !== text) differing.push(`${name}.json`);
}
const known = new Set(Object.keys(CONTRACTS).map((name) => `${name}.json`));
const strays = readdirSync(dir).filter((file) => !known.has(file));
if (check && (differing.length > 0 || strays.length > 0)) {
  const what = [
    ...differing.map((file) => `${file} differs from out/`),
    ...strays.map((file) => `${file} belongs to no contract`),
  ];
  process.stderr.write(`artifacts are stale, run \`node tools/artifacts.mjs\`:\n  ${what.join("\n  ")}\n`);
  process.exit(1);
}
