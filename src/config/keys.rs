//! The table of keys. Names, aliases, defaults, help and limits stand here and nowhere else.
//!
//! Sections and names follow the ethrex L2 sequencer reference; its older names are aliases. The variable of a
//! key is the section's prefix and the name in upper case; aliases have theirs, too.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use alloy_primitives::{Address, B256};
use ensemble_messages::ProverType;

use super::layers::Resolved;
use super::schema::{Filled, Key, Schema, Section, Shown, Use, read, section};
use super::secret::{PrivateKey, Secret};
use super::setting::{Range, Setting};
use super::url::{Endpoint, RpcUrl, StoreLocation};
use super::values::{Confirmations, DataAvailability, Gwei, SidecarVersion, Sp1Prover, WitnessSource};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

section! {
    /// Deployment of the contracts on L1. `ensemble run` reads only the verifiers' addresses, to know which proof is
    /// which.
    DeployerConfig, DEPLOYER = "deployer", variables ["DEPLOYER"];

    /// L1 account which deploys the contracts. Must be the account of `l1_private_key`.
    l1_address: Option<Address> = None, like "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", alias ["address"];
    /// Its private key.
    l1_private_key: Option<PrivateKey> = None,
        like "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        alias ["l1_private key", "private_key"], needed [Deploy];
    /// Account with the administrator role of the contracts (upgrades, configuration, reverts). Without it, the
    /// deployer.
    admin_address: Option<Address> = None, like "0x90F79bf6EB2c4f870365E785982E1f101E93b906", alias ["admin"];
    /// Account that may pause the contracts. Without it, the administrator.
    guardian_address: Option<Address> = None, like "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65", alias ["guardian"];
    /// Address of the contract which verifies Pico proofs. 0x00…00AA, or no value, means that Pico proofs are not
    /// asked for; 0x00…00AA needs `prover_server.dev_mode`.
    pico_contract_verifier: Option<Address> = None, like "0x00000000000000000000000000000000000000aa";
    /// Whether to deploy the Pico verifier.
    pico_deploy_verifier: bool = false, like "false";
    /// Verification key of the program that Pico proves.
    pico_program_key: Option<B256> = None,
        like "0x0000000000000000000000000000000000000000000000000000000000000001";
    /// Address of the contract which verifies RISC0 proofs; as for Pico.
    risc0_contract_verifier: Option<Address> = None, like "0x00000000000000000000000000000000000000aa";
    /// Whether to deploy the RISC0 verifier.
    risc0_deploy_verifier: bool = false, like "false";
    /// Deploy contracts for development, with a verifier that believes RISC0's development receipts. Whoever knows a batch can
    /// make such a receipt. The sequencer needs it too, to take them.
    risc0_development_verifier: bool = false, like "false";
    /// Image id of the program that RISC0 proves.
    risc0_program_key: Option<B256> = None,
        like "0x0000000000000000000000000000000000000000000000000000000000000001";
    /// Address of the contract which verifies SP1 proofs; as for Pico.
    sp1_contract_verifier: Option<Address> = None, like "0x00000000000000000000000000000000000000aa";
    /// Whether to deploy the SP1 verifier.
    sp1_deploy_verifier: bool = false, like "false";
    /// Verification key of the program that SP1 proves.
    sp1_program_key: Option<B256> = None,
        like "0x0000000000000000000000000000000000000000000000000000000000000001";
    /// Accounts whose signatures attest a native re-execution (`exec` proofs). Without any, `exec` proofs are not
    /// asked for.
    exec_attestation_addresses: Vec<Address> = Vec::new(), like "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc";
    /// Address of the contract which verifies `exec` proofs. Without it, `ensemble deploy` deploys one for
    /// `exec_attestation_addresses`.
    exec_contract_verifier: Option<Address> = None, like "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0";
    /// How many of `exec_attestation_addresses` must sign. Without it, all.
    exec_threshold: Option<u64> = None, like "1", range [1, 255, "an attestation needs at least one signature"];
    /// How many of the backends must have a proof before a batch is verified. Without it, all that are asked for.
    proof_threshold: Option<u64> = None, like "1", range [1, 255, "without a proof nothing is verified"];
    /// Whether a 0 value salt is used. Keep as true for deterministic create2 addresses.
    salt_is_zero: bool = true, like "true";
    /// Seconds that a deposit may wait on L1 before no batch without it can be verified.
    max_deposit_wait_s: u64 = 3_000, like "3000",
        range [60, 31_536_000, "the sequencer needs time to include a deposit, and users need an end to it"];
    /// Seconds that may lie between sealing a batch and its commit on L1. A batch that comes later must be
    /// reverted and sealed anew, so leave room for an L1 outage.
    seal_window_s: u64 = 86_400, like "86400",
        range [60, 31_536_000, "a commit transaction needs time to be mined"];
}

section! {
    /// Access to L1.
    EthConfig, ETH = "eth", variables ["ETH"];

    /// JSON-RPC URLs of L1, a list or separated by commas. Reads go to the first good one, transactions to one
    /// after the other until one accepts.
    rpc_url: Vec<RpcUrl> = vec![RpcUrl::local(8_545)], like "http://localhost:8545";
    /// Chain id that L1 must have. Without it, whatever L1 says at the first start is stored and required later.
    chain_id: Option<u64> = None, like "1", range [1, u64::MAX, "EIP-155 has no chain 0"];
    /// Milliseconds to wait for an answer.
    request_timeout_ms: u64 = 10_000, like "10000", range [100, 600_000, "a request needs time, but not for ever"];
    /// Blocks until one of our transactions counts as final, its own block included.
    confirmations: u64 = 2, like "2", range [1, 10_000, "the block with the transaction is the first one"];
    /// Milliseconds after which a transaction that is not mined is sent again with higher fees.
    resubmit_after_ms: u64 = 60_000, like "60000", range [1_000, 86_400_000, "an L1 block takes seconds"];
    /// Our transactions that may wait in the pool at once, per account.
    max_in_flight: usize = 16, like "16", range [1, 16, "pools keep no more of one account"];
    /// Never offer more than this per gas.
    max_fee_per_gas_gwei: Gwei = Gwei::new(500), like "500";
    /// Never offer more than this per gas as a tip in a first try.
    max_priority_fee_per_gas_gwei: Gwei = Gwei::new(50), like "50";
    /// Never offer more than this per blob gas.
    max_fee_per_blob_gas_gwei: Gwei = Gwei::new(500), like "500", alias ["max_blob_fee_gwei"];
}

section! {
    /// The L1 watcher: deposits from L1.
    WatcherConfig, WATCHER = "watcher", variables ["L1_WATCHER", "WATCHER"];

    /// Address of the bridge contract on L1.
    bridge_address: Option<Address> = None, like "0x5FbDB2315678afecb367f032d93F642f64180aa3", needed [Run];
    /// Interval in milliseconds to check for new events.
    check_interval_ms: u64 = 1_000, like "1000", range [10, 3_600_000, "each check is a request to L1"];
    /// Maximum number of blocks to look for when checking for new events.
    max_block_step: u64 = 5_000, like "5000", range [1, 1_000_000, "RPC providers limit the range of eth_getLogs"];
    /// Private key of the L2 proposer. Checked and kept for a way of including deposits as L2 transactions, which this
    /// version does not have: deposits are EIP-4895 withdrawals and need no key.
    l2_proposer_private_key: Option<PrivateKey> = None,
        like "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a";
    /// How deep in L1 a deposit must be to be included: `safe`, `finalized`, or a number of blocks on top of it.
    confirmations: Confirmations = Confirmations::Safe, like "safe";
    /// First L1 block to look at, not later than the bridge's deployment; `ensemble deploy` writes it. Without it, 0.
    start_block: Option<u64> = None, like "0";
}

section! {
    /// The block producer.
    ProposerConfig, PROPOSER = "proposer", variables ["PROPOSER"];

    /// Interval in milliseconds to produce new blocks for the proposer.
    interval_ms: u64 = 5_000, like "5000", alias ["block_time_ms"],
        range [1_000, 3_600_000, "block timestamps are whole seconds and must grow, so blocks cannot be closer than 1000 ms"];
    /// Address which receives the execution fees.
    coinbase_address: Option<Address> = None, like "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
        alias ["coinbase address"], needed [Run];
    /// Whether blocks are produced when there is nothing to put in.
    empty_blocks: bool = true, like "true";
    /// Most deposits in one block.
    max_deposits_per_block: usize = 128, like "128", range [1, 4_096, "deposits take no gas, so only this bounds the block's size"];
}

section! {
    /// The L1 committer: batches to L1.
    CommitterConfig, COMMITTER = "committer", variables ["COMMITTER"];

    /// Address of the L1 committer. Must be the account of `l1_private_key`.
    l1_address: Option<Address> = None, like "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    /// Its private key.
    l1_private_key: Option<PrivateKey> = None,
        like "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80", needed [Run];
    /// Sleep time in milliseconds after sending the commit transaction: a batch is sealed this long after the one
    /// before, or earlier when it is full.
    commit_time_ms: u64 = 60_000, like "60000", alias ["interval_ms"],
        range [100, 86_400_000, "each commit is an L1 transaction"];
    /// Address of the on-chain proposer contract.
    on_chain_proposer_address: Option<Address> = None, like "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512",
        needed [Run, Rebuild];
    /// Least fee in wei to offer per blob gas.
    arbitrary_base_blob_gas_price: u64 = 1_000_000_000, like "1000000000";
    /// Where the data of a batch is published: `blob` (EIP-4844), `calldata`, `auto` (blobs or call data, where it is
    /// cheaper when the batch is sealed) or `none` (validium). The contracts are deployed for `none` or for the other three.
    /// With `calldata` a batch has at most 130,044 bytes, so keep the gas limit of L2 blocks below 4,900,000.
    da: DataAvailability = DataAvailability::Blob, like "blob";
    /// Form of blob transactions: 1 = cell proofs (EIP-7594) for an L1 from Osaka on, 0 = blob proofs before.
    blob_sidecar_version: SidecarVersion = SidecarVersion::V1, like "1";
    /// Most blobs in one batch.
    max_blobs: usize = 6, like "6", range [1, 6, "L1 takes 1 to 6 blobs per transaction (EIP-7594)"];
    /// Most blocks in one batch.
    max_batch_blocks: usize = 512, like "512", range [1, 65_535, "a batch has at least one block, and a prover must bear it"];
    /// Most L2 gas in one batch: what a prover can bear.
    max_batch_gas: u64 = 1_000_000_000, like "1000000000",
        range [1_000_000, u64::MAX, "a single block would never fit"];
    /// Most deposits in one batch.
    max_batch_deposits: usize = 4_096, like "4096", range [1, 1_000_000, "a deposit must fit"];
}

section! {
    /// The prover server, which hands out batches to prover clients, and the sender of verify transactions.
    ProverServerConfig, PROVER_SERVER = "prover_server", variables ["PROVER_SERVER"];

    /// Address of the account that sends verify transactions to L1. Must be different from
    /// `committer.l1_address`, there would be conflicts with the transactions' nonces.
    l1_address: Option<Address> = None, like "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", alias ["verifier_address"];
    /// Its private key.
    l1_private_key: Option<PrivateKey> = None,
        like "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        alias ["verifier_private_key"], needed [Run];
    /// IP to listen on for proof data requests.
    listen_ip: IpAddr = LOCALHOST, like "127.0.0.1";
    /// Port to listen on for proof data requests.
    listen_port: u16 = 3_900, like "3900", range [1, 65_535, "prover clients need a fixed port"];
    /// Whether dev_mode is activated: batches are verified without proofs. The contracts must have been deployed
    /// with it.
    dev_mode: bool = false, like "false";
    /// With dev_mode, interval in milliseconds between verify transactions.
    dev_interval_ms: u64 = 5_000, like "5000", range [100, 3_600_000, "each verification is an L1 transaction"];
    /// Most batches that one transaction verifies, when several wait. They need one proof for all of them, which `exec`
    /// provers make of the batches' own proofs; where other proofs are wanted each batch is verified by itself.
    verify_max_batches: u64 = 8, like "8", range [1, 128, "a range has at least one batch"];
    /// Milliseconds that a proven batch waits for others, to be verified together with them for less gas. With 0 it is
    /// verified with those that are there.
    verify_collect_ms: u64 = 0, like "0", range [0, 86_400_000, "a withdrawal waits for the verification"];
    /// Milliseconds that the proof for several batches is waited for, before they are verified one by one.
    verify_join_timeout_ms: u64 = 30_000, like "30000", range [1_000, 3_600_000, "a prover needs time"];
    /// Text that prover clients must know. Without it, whoever reaches the port gets work.
    auth_token: Option<Secret> = None, like "a long random text", alias ["token"];
    /// Certificate of the prover server (PEM, the chain after it). With it and `tls_key_path`, only TLS is spoken.
    tls_cert_path: Option<PathBuf> = None, like "./tls/server.pem";
    /// Its private key (PEM).
    tls_key_path: Option<PathBuf> = None, like "./tls/server.key";
    /// Certificate of the CA (PEM) that prover clients' certificates must be signed by. Without it, they need none.
    tls_client_ca_path: Option<PathBuf> = None, like "./tls/ca.pem";
    /// Milliseconds until a batch whose prover is silent goes to another one.
    lease_ms: u64 = 600_000, like "600000", range [1_000, 86_400_000, "a prover needs time between two heartbeats"];
    /// Failed tries to prove a batch after which it is degraded: `ensemble status` shows it, and it is tried every
    /// `degraded_retry_ms` only.
    max_failures: u32 = 5, like "5", range [1, 1_000, "a batch is tried at least once"];
    /// Milliseconds between two tries of a batch that used up `max_failures`.
    degraded_retry_ms: u64 = 600_000, like "600000", range [1_000, 86_400_000, "it is not given up"];
    /// Most prover clients connected at once.
    max_sessions: usize = 64, like "64", range [1, 10_000, "each session takes memory"];
    /// Most bytes in one message of a prover client.
    max_frame_bytes: u32 = 1_048_576, like "1048576",
        range [1_024, 1_073_741_824, "a proof must fit, and each session may take that much memory"];
}

section! {
    /// The execution client, over the Engine API.
    EngineConfig, ENGINE = "engine", variables ["ENGINE_API", "ENGINE"];

    /// URL of the client's `auth.rpc` port.
    auth_url: RpcUrl = RpcUrl::local(8_551), like "http://localhost:8551", alias ["rpc_url"];
    /// File with the JWT secret that the client was started with (64 hex digits).
    jwt_path: PathBuf = PathBuf::from("./jwt.hex"), like "./jwt.hex";
    /// URL of the client's public JSON-RPC port. Without it, the auth port is asked.
    public_url: Option<RpcUrl> = None, like "http://localhost:1729";
    /// Milliseconds to wait for an answer. The Engine API gives `newPayload` and `forkchoiceUpdated` 8 seconds.
    timeout_ms: u64 = 8_000, like "8000", range [100, 600_000, "the client must execute a block meanwhile"];
}

section! {
    /// Execution witnesses, which provers need.
    WitnessConfig, WITNESS = "witness", variables ["WITNESS"];

    /// Who serves them: `client` (`debug_executionWitness`) or `shadow` (a second node in this process, for clients
    /// that cannot serve them).
    source: WitnessSource = WitnessSource::Client, like "client";
}

section! {
    /// The L2 chain.
    L2Config, L2 = "l2", variables ["L2"];

    /// Chain id that the execution client must have. Without it, any.
    chain_id: Option<u64> = None, like "1729", range [1, u64::MAX, "EIP-155 has no chain 0"];
    /// Genesis file of the L2. Without it, the execution client is asked.
    genesis_path: Option<PathBuf> = None, like "./genesis-l2.json", alias ["genesis"];
}

section! {
    /// Durable state.
    StoreConfig, STORE = "store", variables ["STORE"];

    /// Path of the SQLite file. A PostgreSQL URL is recognised and refused: this version has SQLite only.
    url: StoreLocation = StoreLocation::sqlite("./data/ensemble.db"), like "./data/ensemble.db", alias ["path"];
}

section! {
    /// The admin server: health, status, operator commands, proofs of withdrawals.
    AdminConfig, ADMIN = "admin", variables ["ADMIN"];

    /// Whether it runs.
    enabled: bool = true, like "true";
    /// IP to listen on. It has no authentication: keep it on the loopback interface or behind a proxy.
    listen_ip: IpAddr = LOCALHOST, like "127.0.0.1";
    /// Port to listen on.
    listen_port: u16 = 5_555, like "5555", range [1, 65_535, "operators need a fixed port"];
}

section! {
    /// Rebuilding the L2 from L1 alone (`ensemble rebuild`).
    RebuildConfig, REBUILD = "rebuild", variables ["REBUILD"];

    /// URLs of Beacon APIs which serve blobs, a list or separated by commas. They are asked in this order.
    beacon_url: Vec<RpcUrl> = Vec::new(), like "http://localhost:5052";
    /// Directory of blobs. It is asked before the Beacon APIs, and keeps what they give.
    archive_path: Option<PathBuf> = None, like "./blobs";
    /// Milliseconds between two looks at L1 with `--follow`.
    check_interval_ms: u64 = 2_000, like "2000", range [100, 86_400_000, "each look is a request to L1"];
}

section! {
    /// The prover client. It has a file of its own, in which the section's header may be left out.
    ProverClientConfig, PROVER_CLIENT = "prover_client", variables ["PROVER_CLIENT"];

    /// Address of the prover server.
    prover_server_endpoint: Endpoint = Endpoint { host: "localhost".to_owned(), port: 3_900 }, like "localhost:3900";
    /// Milliseconds to wait after a proof, or before asking again when there is no work.
    proving_time_ms: u64 = 5_000, like "5000", alias ["interval_ms"],
        range [10, 3_600_000, "each question is a message to the prover server"];
    /// Name that the prover server shows for this client.
    name: String = "prover".to_owned(), like "prover";
    /// Kind of the proofs: `exec` (native re-execution, attested by a signature), `risc0`, `sp1` or `pico`. For the zkVMs
    /// `command` is needed.
    backend: ProverType = ProverType::Exec, like "exec";
    /// Token that the prover server asks for (`prover_server.auth_token`).
    token: Option<Secret> = None, like "a long random text", alias ["auth_token"];
    /// Certificate of the CA (PEM) that the prover server's is signed by. With it, TLS is spoken.
    tls_ca_path: Option<PathBuf> = None, like "./tls/ca.pem";
    /// Certificate of this client (PEM, the chain after it), when the server asks for one.
    tls_cert_path: Option<PathBuf> = None, like "./tls/prover.pem";
    /// Its private key (PEM).
    tls_key_path: Option<PathBuf> = None, like "./tls/prover.key";
    /// Name in the server's certificate, when it is not the endpoint's host.
    tls_server_name: Option<String> = None, like "sequencer.internal";
    /// `exec`: private key that signs attestations. Its account is one of `deployer.exec_attestation_addresses`.
    attestation_private_key: Option<PrivateKey> = None,
        like "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba", needed [Prover];
    /// `exec`: chain id of L1, part of what is signed (EIP-712).
    l1_chain_id: Option<u64> = None, like "1", range [1, u64::MAX, "EIP-155 has no chain 0"], needed [Prover];
    /// `exec`: address of the contract on L1 that checks the attestations, part of what is signed (EIP-712).
    attestation_verifier: Option<Address> = None, like "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0",
        alias ["exec_contract_verifier"], needed [Prover];
    /// `exec`: accounts of other provers that this one believes when it attests to several batches in one signature
    /// (`prover_server.verify_max_batches`). Without them it signs only for what it has executed itself.
    peer_attesters: Vec<Address> = Vec::new(), like "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc";
    /// Executable that makes the proofs of that kind, in place of a backend of ours. It is started for each batch with two
    /// paths, of the input and of the result; see docs/proving.md.
    command: Option<PathBuf> = None, like "./prove.sh";
    /// Arguments of the executable before the two paths, separated by commas.
    command_args: Vec<String> = Vec::new(), like "--quiet";
    /// Milliseconds after which the executable is killed.
    command_timeout_ms: u64 = 3_600_000, like "3600000",
        range [1_000, 604_800_000, "a proof takes time, and a hung executable must end"];
    /// `sp1`: how to prove: `mock`, `cpu` or `cuda`.
    sp1_prover: Sp1Prover = Sp1Prover::Cpu, like "cpu", variable ["SP1_PROVER"];
    /// `risc0`: skip the proof, for tests.
    risc0_dev_mode: bool = false, like "false", variable ["RISC0_DEV_MODE"];
}

/// `sequencer_config.toml`.
pub(super) static SEQUENCER: Schema = Schema {
    file_variable: "SEQUENCER_CONFIG_FILE",
    default_file: "sequencer_config.toml",
    env_file_variable: "ENV_FILE",
    default_env_file: ".env",
    flat: None,
    sections: &[
        &DEPLOYER,
        &ETH,
        &WATCHER,
        &PROPOSER,
        &COMMITTER,
        &PROVER_SERVER,
        &ENGINE,
        &WITNESS,
        &L2,
        &STORE,
        &ADMIN,
        &REBUILD,
    ],
};

/// `prover_client_config.toml`.
pub(super) static PROVER: Schema = Schema {
    file_variable: "PROVER_CLIENT_CONFIG_FILE",
    default_file: "prover_client_config.toml",
    env_file_variable: "PROVER_ENV_FILE",
    default_env_file: ".env.prover",
    flat: Some("prover_client"),
    sections: &[&PROVER_CLIENT],
};
