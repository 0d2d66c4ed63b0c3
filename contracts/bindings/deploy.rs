//! Deployment of the L1 contracts through `DeterministicDeployer`: which transactions, in which order, and which
//! addresses come out. `contracts/README.md` explains the order.
//!
//! A step's address is known before it is sent; a step whose address has code already is done, and may be left out.

use alloy_primitives::{Address, B256, Bytes};
use ethers_core::abi::{Token, encode};

use crate::abi::{self, proposer};
use crate::calls::proposer_backends;
use crate::returns::MAX_BACKENDS;
use crate::{Backend, ContractError, SKIPPED_VERIFIER, bytecode, create2};

/// Constructor arguments of `OnChainProposer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposerSettings {
    /// Whether batches may go without proofs when no backend is configured. Never on a network of worth.
    pub dev_mode: bool,
    /// Whether every batch must carry blobs; false means validium.
    pub require_blobs: bool,
    /// Seconds that a deposit may wait before batches without it cannot be verified.
    pub max_deposit_wait: u64,
    /// Seconds that may lie between the seal of a batch and its commit.
    pub seal_window: u64,
}

/// Who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// Upgrades, configures, reverts batches, resumes. [`plan`] puts the timelock here when there is one.
    pub admin: Address,
    /// May pause, and nothing else.
    pub guardian: Address,
    /// The committer's account.
    pub sequencer: Address,
    /// The account that verifies without proofs, in dev mode.
    pub prover: Address,
}

/// The L2's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L2Genesis {
    /// Chain id of the L2.
    pub chain_id: u64,
    /// State root of its genesis block.
    pub state_root: B256,
    /// Hash of its genesis block.
    pub block_hash: B256,
}

/// An `AttestationVerifier` to deploy and to append to the backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Accounts whose signatures count.
    pub signers: Vec<Address>,
    /// How many of them must sign.
    pub threshold: u64,
    /// Whether no batch is verified without the attestation.
    pub required: bool,
    /// The program that they attest.
    pub program_key: B256,
}

/// A `TimelockController` (OpenZeppelin) to deploy and to make the admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timelock {
    /// Seconds between the announcement of an operation and its execution.
    pub min_delay: u64,
    /// Accounts that may announce, cancel and execute.
    pub council: Vec<Address>,
}

/// What to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentConfig {
    /// Address of the `DeterministicDeployer`.
    pub factory: Address,
    /// The account that sends the transactions; the bridge's address depends on it.
    pub deployer: Address,
    /// Salt of every address.
    pub salt: B256,
    /// Constructor arguments of the proposer.
    pub settings: ProposerSettings,
    /// Who may do what; `admin` is ignored when there is a timelock.
    pub accounts: Accounts,
    /// The L2's start.
    pub genesis: L2Genesis,
    /// Proof backends whose verifiers are on L1 already.
    pub backends: Vec<Backend>,
    /// How many backends must have a proof. 0 only where there is none (dev mode).
    pub threshold: u8,
    /// An attestation backend to deploy and to append to `backends`.
    pub attestation: Option<Attestation>,
    /// A timelock to deploy and to make the admin.
    pub timelock: Option<Timelock>,
}

/// One transaction to the `DeterministicDeployer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentStep {
    /// What it deploys.
    pub name: &'static str,
    /// Where the contract will be.
    pub address: Address,
    /// Call data for the `DeterministicDeployer`.
    pub data: Bytes,
}

/// The transactions of a deployment, in order, and what comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentPlan {
    /// The transactions. All of them go to the factory, from the deployer.
    pub steps: Vec<DeploymentStep>,
    /// Address of the `OnChainProposer` (the proxy).
    pub proposer: Address,
    /// Address of the `CommonBridge` (the proxy).
    pub bridge: Address,
    /// Address of the `AttestationVerifier`, when one is deployed.
    pub attestation_verifier: Option<Address>,
    /// Address of the `TimelockController`, when one is deployed.
    pub timelock: Option<Address>,
    /// The admin of both contracts.
    pub admin: Address,
    /// The backends that the proposer is given, in order.
    pub backends: Vec<Backend>,
}

fn init_code(code: &Bytes, arguments: &[Token]) -> Bytes {
    [code.as_ref(), &encode(arguments)].concat().into()
}

fn address_token(value: Address) -> Token {
    Token::Address(abi::address(value))
}

fn address_list(values: &[Address]) -> Token {
    Token::Array(values.iter().map(|value| address_token(*value)).collect())
}

/// Init code of the `OnChainProposer` implementation.
#[must_use]
pub fn proposer_init_code(bridge: Address, settings: &ProposerSettings) -> Bytes {
    init_code(
        &bytecode::proposer(),
        &[
            address_token(bridge),
            Token::Bool(settings.dev_mode),
            Token::Bool(settings.require_blobs),
            Token::Uint(settings.max_deposit_wait.into()),
            Token::Uint(settings.seal_window.into()),
        ],
    )
}

/// Init code of the `CommonBridge` implementation.
#[must_use]
pub fn bridge_init_code(proposer: Address) -> Bytes {
    init_code(&bytecode::bridge(), &[address_token(proposer)])
}

/// Init code of an `ERC1967Proxy` that calls `initializer` on its implementation in its constructor.
#[must_use]
pub fn proxy_init_code(implementation: Address, initializer: &[u8]) -> Bytes {
    init_code(&bytecode::proxy(), &[address_token(implementation), Token::Bytes(initializer.to_vec())])
}

/// Init code of an `AttestationVerifier`.
#[must_use]
pub fn attestation_verifier_init_code(signers: &[Address], threshold: u64) -> Bytes {
    init_code(&bytecode::attestation_verifier(), &[address_list(signers), Token::Uint(threshold.into())])
}

/// Init code of a `TimelockController` without an admin of its own.
#[must_use]
pub fn timelock_init_code(timelock: &Timelock) -> Bytes {
    let council = address_list(&timelock.council);
    let arguments =
        [Token::Uint(timelock.min_delay.into()), council.clone(), council, address_token(Address::ZERO)];
    init_code(&bytecode::timelock(), &arguments)
}

/// Call data of `OnChainProposer.initialize`. Every backend proves all batches.
#[must_use]
pub fn proposer_initializer(
    accounts: &Accounts,
    genesis: &L2Genesis,
    backends: &[Backend],
    threshold: u8,
) -> Bytes {
    abi::encode(proposer::InitializeCall {
        accounts: proposer::Accounts {
            admin: abi::address(accounts.admin),
            guardian: abi::address(accounts.guardian),
            sequencer: abi::address(accounts.sequencer),
            prover: abi::address(accounts.prover),
        },
        genesis: proposer::Genesis {
            l_2_chain_id: genesis.chain_id.into(),
            state_root: genesis.state_root.0,
            block_hash: genesis.block_hash.0,
        },
        backends: proposer_backends(&backends.iter().copied().map(Into::into).collect::<Vec<_>>()),
        threshold,
    })
}

/// Call data of `CommonBridge.initialize`.
#[must_use]
pub fn bridge_initializer(admin: Address, guardian: Address) -> Bytes {
    abi::encode(abi::bridge::InitializeCall { admin: abi::address(admin), guardian: abi::address(guardian) })
}

/// The transactions that deploy the contracts, with the addresses that come out.
///
/// # Errors
/// [`ContractError::BadDeployment`] for what the contracts would refuse, as far as it shows without a node.
pub fn plan(config: &DeploymentConfig) -> Result<DeploymentPlan, ContractError> {
    let mut steps = Vec::new();
    let mut create2 = |name, init_code: &Bytes| {
        let address = create2::create2_address(config.factory, config.salt, init_code);
        steps.push(DeploymentStep { name, address, data: create2::deploy(config.salt, init_code) });
        address
    };

    let mut backends = config.backends.clone();
    let attestation_verifier = config.attestation.as_ref().map(|attestation| {
        let code = attestation_verifier_init_code(&attestation.signers, attestation.threshold);
        let verifier = create2("AttestationVerifier", &code);
        backends.push(Backend {
            verifier,
            required: attestation.required,
            program_key: attestation.program_key,
        });
        verifier
    });
    let timelock =
        config.timelock.as_ref().map(|timelock| create2("TimelockController", &timelock_init_code(timelock)));
    let admin = timelock.unwrap_or(config.accounts.admin);
    check(config, admin, &backends)?;

    let bridge = create2::caller_address(config.factory, config.deployer, config.salt);
    let implementation =
        create2("OnChainProposer implementation", &proposer_init_code(bridge, &config.settings));
    let accounts = Accounts { admin, ..config.accounts };
    let initializer = proposer_initializer(&accounts, &config.genesis, &backends, config.threshold);
    let proposer = create2("OnChainProposer", &proxy_init_code(implementation, &initializer));
    let implementation = create2("CommonBridge implementation", &bridge_init_code(proposer));
    let initializer = bridge_initializer(admin, config.accounts.guardian);
    let data = create2::deploy_by_address(config.salt, &proxy_init_code(implementation, &initializer));
    steps.push(DeploymentStep { name: "CommonBridge", address: bridge, data });

    Ok(DeploymentPlan { steps, proposer, bridge, attestation_verifier, timelock, admin, backends })
}

/// The rules of the contracts' constructors and initialisers.
fn check(config: &DeploymentConfig, admin: Address, backends: &[Backend]) -> Result<(), ContractError> {
    let bad = |reason: String| Err(ContractError::BadDeployment(reason));
    let Accounts { guardian, sequencer, prover, .. } = config.accounts;
    for (name, account) in
        [("admin", admin), ("guardian", guardian), ("sequencer", sequencer), ("prover", prover)]
    {
        if account.is_zero() {
            return bad(format!("the {name} is the zero address"));
        }
    }
    if backends.len() > MAX_BACKENDS {
        return bad(format!("{} proof backends, at most {MAX_BACKENDS} are possible", backends.len()));
    }
    if let Some(skipped) = backends.iter().find(|backend| backend.verifier == SKIPPED_VERIFIER) {
        if !config.settings.dev_mode {
            return bad(format!("the verifier {SKIPPED_VERIFIER} (skipped) needs dev mode"));
        }
        if skipped.required {
            return bad("a skipped verifier cannot be required".to_owned());
        }
    }
    let real = backends.iter().filter(|backend| backend.verifier != SKIPPED_VERIFIER).count();
    if real == 0 && !config.settings.dev_mode {
        return bad("no proof backend is configured; that needs dev mode".to_owned());
    }
    let threshold = usize::from(config.threshold);
    if threshold > real || (threshold == 0) != (real == 0) {
        return bad(format!("a threshold of {threshold} with {real} proof backends"));
    }
    if let Some(attestation) = &config.attestation {
        let mut signers = attestation.signers.clone();
        signers.sort_unstable();
        signers.dedup();
        if signers.len() != attestation.signers.len() || signers.contains(&Address::ZERO) {
            return bad("an attestation signer is named twice or is the zero address".to_owned());
        }
        if attestation.threshold == 0 || attestation.threshold > signers.len() as u64 {
            return bad(format!("{} of {} attestation signers", attestation.threshold, signers.len()));
        }
    }
    if config.timelock.as_ref().is_some_and(|timelock| timelock.council.is_empty()) {
        return bad("the timelock has no council, so nobody could ever use it".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn config() -> DeploymentConfig {
        DeploymentConfig {
            factory: Address::repeat_byte(0xF0),
            deployer: Address::repeat_byte(0xDE),
            salt: B256::ZERO,
            settings: ProposerSettings {
                dev_mode: false,
                require_blobs: true,
                max_deposit_wait: 259_200,
                seal_window: 21_600,
            },
            accounts: Accounts {
                admin: Address::repeat_byte(1),
                guardian: Address::repeat_byte(2),
                sequencer: Address::repeat_byte(3),
                prover: Address::repeat_byte(4),
            },
            genesis: L2Genesis {
                chain_id: 65_536_999,
                state_root: B256::repeat_byte(5),
                block_hash: B256::repeat_byte(6),
            },
            backends: Vec::new(),
            threshold: 1,
            attestation: Some(Attestation {
                signers: vec![Address::repeat_byte(7)],
                threshold: 1,
                required: true,
                program_key: B256::repeat_byte(8),
            }),
            timelock: None,
        }
    }

    #[test]
    fn steps_in_order() {
        let made = plan(&config()).unwrap();
        let names: Vec<_> = made.steps.iter().map(|step| step.name).collect();
        assert_eq!(
            names,
            [
                "AttestationVerifier",
                "OnChainProposer implementation",
                "OnChainProposer",
                "CommonBridge implementation",
                "CommonBridge"
            ]
        );
        assert_eq!(made.steps[0].address, made.attestation_verifier.unwrap());
        assert_eq!(made.steps[2].address, made.proposer);
        assert_eq!(made.steps[4].address, made.bridge);
        assert_eq!(made.backends[0].verifier, made.steps[0].address);
        assert_eq!(made.admin, config().accounts.admin);

        let with_timelock = plan(&DeploymentConfig {
            timelock: Some(Timelock { min_delay: 60, council: vec![Address::repeat_byte(9)] }),
            ..config()
        })
        .unwrap();
        assert_eq!(with_timelock.steps[1].name, "TimelockController");
        assert_eq!(Some(with_timelock.admin), with_timelock.timelock);
        assert_ne!(with_timelock.proposer, made.proposer, "another admin is another initialiser");
        assert_eq!(with_timelock.bridge, made.bridge, "the bridge's address does not depend on it");
    }

    /// The same settings give the same addresses, another deployer or salt gives others.
    #[test]
    fn addresses_are_deterministic() {
        let made = plan(&config()).unwrap();
        assert_eq!(made, plan(&config()).unwrap());
        let other = plan(&DeploymentConfig { salt: B256::repeat_byte(1), ..config() }).unwrap();
        assert!(other.bridge != made.bridge && other.proposer != made.proposer);
        let other = plan(&DeploymentConfig { deployer: Address::repeat_byte(1), ..config() }).unwrap();
        assert!(other.bridge != made.bridge && other.proposer != made.proposer);
    }

    #[test]
    fn refusals() {
        let dev = ProposerSettings { dev_mode: true, ..config().settings };
        let skipped = Backend { verifier: SKIPPED_VERIFIER, required: false, program_key: B256::ZERO };
        let none = DeploymentConfig { attestation: None, threshold: 0, ..config() };
        let cases: Vec<(DeploymentConfig, &str)> = vec![
            (none.clone(), "needs dev mode"),
            (DeploymentConfig { threshold: 0, ..config() }, "threshold of 0 with 1"),
            (DeploymentConfig { threshold: 2, ..config() }, "threshold of 2 with 1"),
            (DeploymentConfig { backends: vec![skipped], ..config() }, "needs dev mode"),
            (
                DeploymentConfig {
                    backends: vec![Backend { required: true, ..skipped }],
                    settings: dev,
                    ..config()
                },
                "cannot be required",
            ),
            (DeploymentConfig { backends: vec![skipped; 15], settings: dev, ..config() }, "at most 15"),
            (
                DeploymentConfig {
                    accounts: Accounts { prover: Address::ZERO, ..config().accounts },
                    ..config()
                },
                "the prover is the zero address",
            ),
            (
                DeploymentConfig {
                    attestation: config().attestation.map(|a| Attestation { threshold: 2, ..a }),
                    ..config()
                },
                "2 of 1 attestation signers",
            ),
            (
                DeploymentConfig {
                    attestation: config()
                        .attestation
                        .map(|a| Attestation { signers: vec![a.signers[0]; 2], ..a }),
                    ..config()
                },
                "named twice",
            ),
            (
                DeploymentConfig {
                    timelock: Some(Timelock { min_delay: 1, council: Vec::new() }),
                    ..config()
                },
                "no council",
            ),
        ];
        for (config, reason) in cases {
            let error = plan(&config).unwrap_err().to_string();
            assert!(error.contains(reason), "{error} / {reason}");
        }
        assert!(plan(&DeploymentConfig { settings: dev, ..none.clone() }).is_ok());
        assert!(plan(&DeploymentConfig { settings: dev, backends: vec![skipped], ..none }).is_ok());
    }
}
