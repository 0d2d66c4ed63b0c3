// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {stdJson} from "forge-std/StdJson.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {AttestationVerifier} from "../../src/l1/AttestationVerifier.sol";
import {CommonBridge} from "../../src/l1/CommonBridge.sol";
import {DeterministicDeployer} from "../../src/l1/DeterministicDeployer.sol";
import {OnChainProposer} from "../../src/l1/OnChainProposer.sol";
import {
    Accounts,
    Backend,
    BatchHeader,
    Genesis,
    IDepositQueue,
    IVerifiedBatches,
    hashCalldata,
    hashMemory
} from "../../src/l1/Types.sol";

contract FakeVerifiedBatches is IVerifiedBatches {
    bytes32 public immutable HASH;

    constructor(bytes32 hash) {
        HASH = hash;
    }

    function verifiedHash(uint256) external view returns (bytes32) {
        return HASH;
    }
}

/// test/vectors.json, which `contracts/bindings/tests/vectors.rs` reads as well: both sides agree to the byte.
contract VectorsTest is Test {
    using stdJson for string;

    string internal json;

    function setUp() public {
        json = vm.readFile("test/vectors.json");
    }

    function hashIt(BatchHeader calldata h) external pure returns (bytes32) {
        return hashCalldata(h);
    }

    function header() internal view returns (BatchHeader memory) {
        return BatchHeader({
            parentHash: json.readBytes32(".header.parentHash"),
            stateRoot: json.readBytes32(".header.stateRoot"),
            blockHash: json.readBytes32(".header.blockHash"),
            withdrawalsRoot: json.readBytes32(".header.withdrawalsRoot"),
            depositsHash: json.readBytes32(".header.depositsHash"),
            blobsHash: json.readBytes32(".header.blobsHash"),
            number: uint64(json.readUint(".header.number")),
            depositsIndex: uint64(json.readUint(".header.depositsIndex")),
            sealedAt: uint64(json.readUint(".header.sealedAt"))
        });
    }

    function test_header() public view {
        BatchHeader memory h = header();
        assertEq(abi.encode(h), json.readBytes(".header.encoded"));
        bytes32 expected = json.readBytes32(".header.hash");
        assertEq(hashMemory(h), expected);
        assertEq(this.hashIt(h), expected);
    }

    function test_genesis() public {
        vm.chainId(json.readUint(".genesis.l1ChainId"));
        address target = json.readAddress(".genesis.proposer");
        OnChainProposer impl = new OnChainProposer(IDepositQueue(address(1)), true, true, 1, 1);
        bytes memory init = abi.encodeCall(
            OnChainProposer.initialize,
            (
                Accounts(address(1), address(2), address(3), address(4)),
                Genesis(
                    json.readUint(".genesis.l2ChainId"),
                    json.readBytes32(".genesis.stateRoot"),
                    json.readBytes32(".genesis.blockHash")
                ),
                new Backend[](0),
                0
            )
        );
        deployCodeTo("ERC1967Proxy.sol:ERC1967Proxy", abi.encode(address(impl), init), target);
        assertEq(OnChainProposer(target).verifiedHash(0), json.readBytes32(".genesis.hash"));
    }

    function test_deposits() public {
        CommonBridge impl = new CommonBridge(IVerifiedBatches(address(1)));
        CommonBridge bridge = CommonBridge(
            payable(new ERC1967Proxy(
                    address(impl), abi.encodeCall(CommonBridge.initialize, (address(1), address(2)))
                ))
        );
        vm.deal(address(this), 1e30);
        for (uint64 i; i < 4; ++i) {
            string memory key = string.concat(".deposits[", vm.toString(i), "]");
            uint256 amount = json.readUint(string.concat(key, ".amount"));
            address to = json.readAddress(string.concat(key, ".to"));
            assertEq(keccak256(abi.encode(i + 1, to, amount)), json.readBytes32(string.concat(key, ".leaf")));
            vm.warp(block.timestamp + 1000);
            bridge.deposit{value: amount}(to);
            assertEq(bridge.lastDepositId(), json.readUint(string.concat(key, ".id")));
            (bytes32 rolling,) = bridge.depositCheckpoint(i + 1);
            assertEq(rolling, json.readBytes32(string.concat(key, ".rollingHash")));
        }
    }

    function test_withdrawals() public {
        for (uint256 t; t < 5; ++t) {
            string memory tree = string.concat(".withdrawals.trees[", vm.toString(t), "]");
            BatchHeader memory h = header();
            h.withdrawalsRoot = json.readBytes32(string.concat(tree, ".root"));
            CommonBridge impl = new CommonBridge(new FakeVerifiedBatches(hashMemory(h)));
            CommonBridge bridge = CommonBridge(
                payable(new ERC1967Proxy(
                        address(impl), abi.encodeCall(CommonBridge.initialize, (address(1), address(2)))
                    ))
            );
            vm.deal(address(bridge), 100 ether);
            uint256 count = json.readUint(string.concat(tree, ".count"));
            assertEq(count, t + 1);
            for (uint256 i; i < count; ++i) {
                claim(bridge, h, tree, i);
            }
        }
    }

    function claim(CommonBridge bridge, BatchHeader memory h, string memory tree, uint256 i) internal {
        string memory leaf = string.concat(".withdrawals.leaves[", vm.toString(i), "]");
        uint256 id = json.readUint(string.concat(leaf, ".id"));
        address to = json.readAddress(string.concat(leaf, ".to"));
        uint256 amount = json.readUint(string.concat(leaf, ".amount"));
        assertEq(
            keccak256(bytes.concat(keccak256(abi.encode(id, to, amount)))),
            json.readBytes32(string.concat(leaf, ".leaf"))
        );
        bytes32[] memory proof = json.readBytes32Array(string.concat(tree, ".proofs[", vm.toString(i), "]"));
        uint256 before = to.balance;
        bridge.claimWithdrawal(h, id, to, amount, i, proof);
        assertEq(to.balance, before + amount);
    }

    function test_publicValues() public view {
        assertEq(
            abi.encode(json.readBytes32(".publicValues.from"), json.readBytes32(".publicValues.to")),
            json.readBytes(".publicValues.encoded")
        );
    }

    function test_blobs() public {
        vm.blobhashes(json.readBytes32Array(".blobs.versionedHashes"));
        commitWithData("", json.readBytes32(".blobs.hash"));
    }

    function test_callData() public {
        commitWithData(json.readBytes(".callData.payload"), json.readBytes32(".callData.hash"));
    }

    /// A commit with `data` behind its arguments is one of a header with `blobsHash`.
    function commitWithData(bytes memory data, bytes32 blobsHash) internal {
        vm.warp(1_700_000_000);
        OnChainProposer impl = new OnChainProposer(IDepositQueue(address(1)), true, true, 1, 1);
        bytes memory init = abi.encodeCall(
            OnChainProposer.initialize,
            (
                Accounts(address(1), address(2), address(this), address(4)),
                Genesis(1, 0, 0),
                new Backend[](0),
                0
            )
        );
        OnChainProposer proposer = OnChainProposer(address(new ERC1967Proxy(address(impl), init)));
        BatchHeader memory h;
        h.parentHash = proposer.committedHash(0);
        h.blobsHash = blobsHash;
        h.number = 1;
        h.sealedAt = uint64(block.timestamp);
        bytes memory call = abi.encodeCall(OnChainProposer.commitBatch, (0, 0, 0, 0, 0, h.sealedAt, 1));
        (bool success,) = address(proposer).call(abi.encodePacked(call, data));
        assertTrue(success);
        assertEq(proposer.committedHash(1), hashMemory(h));
    }

    function test_attestationDigest() public {
        vm.chainId(json.readUint(".attestation.chainId"));
        address target = json.readAddress(".attestation.verifier");
        address[] memory signers = new address[](1);
        signers[0] = address(1);
        deployCodeTo("AttestationVerifier.sol:AttestationVerifier", abi.encode(signers, 1), target);
        assertEq(
            AttestationVerifier(target)
                .digest(json.readBytes32(".attestation.programKey"), json.readBytes(".publicValues.encoded")),
            json.readBytes32(".attestation.digest")
        );
    }

    function test_deployerAddresses() public {
        address target = json.readAddress(".deployer.factory");
        deployCodeTo("DeterministicDeployer.sol:DeterministicDeployer", "", target);
        DeterministicDeployer deployer = DeterministicDeployer(target);
        bytes32 salt = json.readBytes32(".deployer.salt");
        assertEq(
            deployer.addressOf(salt, keccak256(json.readBytes(".deployer.initCode"))),
            json.readAddress(".deployer.create2")
        );
        assertEq(
            deployer.addressFor(json.readAddress(".deployer.caller"), salt),
            json.readAddress(".deployer.byAddress")
        );
    }
}
