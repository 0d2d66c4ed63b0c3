//! Several batches in one verification, and what happens when that fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use alloy_primitives::Bytes;
use common::{ATTESTER, Anvil, Prover, USER, World, address, ether, lock, run, until};
use ensemble::{
    Sequencer,
    config::Config,
    messages::{BatchProof, ProverType},
};
use ensemble_batch::{BatchInput, PublicValues};
use ensemble_contracts::events;
use ensemble_prover::{
    BackendError, BackendProof, Cancel, ClientEvent, ExecBackend, ProverBackend,
    attestation::{AttestationKey, sign},
};

/// Batches of a range here. A batch waits until so many can go together.
const TOGETHER: u64 = 3;

fn collecting(config: &mut Config) {
    config.prover_server.verify_max_batches = TOGETHER;
    config.prover_server.verify_collect_ms = 600_000;
    config.prover_server.verify_join_timeout_ms = 600_000;
}

/// First and last batch of each verification on L1.
async fn verifications(world: &World) -> Vec<(u64, u64)> {
    let logs = world.logs(world.deployment().proposer, events::BatchesVerified::topic()).await;
    let decoded = logs.iter().map(|log| events::BatchesVerified::decode(&log.topics, &log.data).unwrap());
    decoded.map(|event| (event.first, event.last)).collect()
}

fn joined(prover: &Prover) -> Vec<(u64, u64)> {
    let events = lock(&prover.events);
    let joined = events.iter().filter_map(|event| match event {
        ClientEvent::Joined { first, last, .. } => Some((*first, *last)),
        _ => None,
    });
    joined.collect()
}

/// Waits until so many batches are committed.
async fn committed(world: &World, number: u64) {
    let what = format!("the commit of batch {number}");
    until(&what, async || (world.committed().await >= number).then_some(())).await;
}

/// SEQ-INV-5, SEQ-INV-7: a deposit, a withdrawal and its claim, in batches that go to L1 by threes: one proof that the
/// prover makes of theirs, one transaction, each batch verified once.
async fn goes_by_threes(world: World) {
    let sequencer = world.sequencer().await;
    let prover = world.prover();
    let user = world.user_l2("user").await;
    world.deposit(user.address(), ether(5_000)).await;
    assert_eq!(world.arrived(user.address()).await, ether(5_000));
    let withdrawn = world.withdraw(&user, address("on L1"), ether(1_250)).await;
    world.claim(&sequencer, &withdrawn).await;
    world.verified_up_to(2 * TOGETHER).await;
    world.stop(&sequencer).await;
    let ranges: Vec<(u64, u64)> = verifications(&world).await;
    assert_eq!(ranges[..2], [(1, TOGETHER), (TOGETHER + 1, 2 * TOGETHER)]);
    assert!(ranges.iter().all(|(first, last)| last - first + 1 == TOGETHER), "{ranges:?}");
    let made = joined(&prover);
    assert!(ranges.iter().all(|range| made.contains(range)), "{ranges:?} of {made:?}");
    let report = prover.stop().await.unwrap();
    assert_eq!((report.rejected, report.failed), (0, 0), "{report:?}");
    let books = world.books().await;
    assert_eq!(books.verified, ranges.len() as u64 * TOGETHER);
}

#[test]
fn several_batches_have_one_verification() {
    run(async { goes_by_threes(World::start(collecting).await).await });
}

#[test]
fn several_batches_have_one_verification_on_anvil() {
    let Some(anvil) = Anvil::start() else { return };
    run(async {
        let mut world = World::on_anvil_with(anvil, |config| {
            config.eth.request_timeout_ms = 60_000;
            collecting(config);
        })
        .await;
        world.deploy().await;
        goes_by_threes(world).await;
    });
}

/// Batches that wait to be proven.
async fn waiting(world: &World) -> Sequencer {
    let sequencer = world.sequencer().await;
    committed(world, TOGETHER).await;
    assert_eq!(world.verified().await, 0);
    sequencer
}

/// SEQ-INV-5, SEQ-INV-7: a proof of a range that only L1 sees through is not sent for ever, and not even once: the
/// simulation refuses it, its verifier says why, it is removed, and the batches are verified one by one by their own
/// proofs. The next range has another one.
#[test]
fn a_range_that_l1_refuses_is_verified_one_by_one() {
    run(async {
        let world = World::start(collecting).await;
        let sequencer = waiting(&world).await;
        // As if the sequencer's own check had believed it.
        let store = sequencer.services().store.clone();
        let (first, last) =
            (store.batch(1).await.unwrap().unwrap(), store.batch(TOGETHER).await.unwrap().unwrap());
        let public_values = PublicValues { from: first.header.parent_hash, to: last.header.hash() };
        let program_key = sequencer.services().chain.exec_program_key();
        let stranger = AttestationKey::from_hex(USER.private_key).unwrap();
        let signature = sign(&stranger, &world.domain(), program_key, &public_values);
        let lie = BatchProof {
            prover_type: ProverType::Exec,
            batch_number: TOGETHER,
            public_values,
            program_key,
            proof: Bytes::from(signature.to_vec()),
        };
        assert!(store.insert_range_proof(1, &lie, "liar").await.unwrap());

        let prover = world.prover();
        world.verified_up_to(2 * TOGETHER).await;
        assert_eq!(store.range_proofs_from(1).await.unwrap(), [], "it is removed");
        world.stop(&sequencer).await;
        let singly = (1..=TOGETHER).map(|number| (number, number));
        let wanted: Vec<(u64, u64)> = singly.chain([(TOGETHER + 1, 2 * TOGETHER)]).collect();
        assert_eq!(verifications(&world).await[..wanted.len()], wanted);
        let report = prover.stop().await.unwrap();
        assert_eq!((report.rejected, report.failed), (0, 0), "{report:?}");
        // Without a transaction in vain.
        world.books().await;
    });
}

/// A prover that makes proofs of batches only.
struct Alone(ExecBackend);

impl ProverBackend for Alone {
    fn prover_type(&self) -> ProverType {
        self.0.prover_type()
    }

    fn prove(&self, input: &BatchInput, cancel: &Cancel) -> Result<BackendProof, BackendError> {
        self.0.prove(input, cancel)
    }
}

/// SEQ-INV-7: when the prover says that it makes no proof of several, the batches go one by one at once, and so do the
/// next ones.
#[test]
fn batches_whose_proofs_nobody_joins_are_verified_one_by_one() {
    run(async {
        let world = World::start(collecting).await;
        let sequencer = waiting(&world).await;
        let prover = world.prover_with("alone", Box::new(Alone(world.backend(&ATTESTER))));
        let reached = TOGETHER + 1;
        world.verified_up_to(TOGETHER).await;
        committed(&world, 2 * TOGETHER).await;
        world.verified_up_to(reached).await;
        world.stop(&sequencer).await;
        let made = verifications(&world).await;
        assert!(made.iter().all(|(first, last)| first == last), "{made:?}");
        assert_eq!(joined(&prover), []);
        let report = prover.stop().await.unwrap();
        assert!(report.rejected == 0 && report.failed >= 1, "{report:?}");
        world.books().await;
    });
}
