//! Contracts with a verifier of a zkVM, deployed by `deploy`, and provers of that kind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use alloy_primitives::{B256, Bytes};
use common::{ATTESTER, World, client, run, until};
use ensemble::{
    deploy,
    messages::{ProofRejection, ProverType, SubmitReply},
};
use ensemble_batch::{BatchInput, ProgramKey};
use ensemble_contracts::{VerifierKind, bytecode, calls, returns, verifiers};
use ensemble_l1::BlockTag;
use ensemble_prover::{BackendError, BackendProof, Cancel, ClientEvent, ExecBackend, ProverBackend};

const SP1_PROGRAM: ProgramKey = ProgramKey(B256::with_last_byte(0x51));

/// Computes the right public values, and claims that SP1 has proven them.
struct ClaimsSp1 {
    honest: ExecBackend,
    proof: Bytes,
}

impl ProverBackend for ClaimsSp1 {
    fn prover_type(&self) -> ProverType {
        ProverType::Sp1
    }

    fn prove(&self, input: &BatchInput, cancel: &Cancel) -> Result<BackendProof, BackendError> {
        let made = self.honest.prove(input, cancel)?;
        Ok(BackendProof { program_key: SP1_PROGRAM, proof: self.proof.clone(), ..made })
    }
}

/// A real proof of SP1 v6.1, of another program.
fn real_proof() -> Bytes {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/contracts/test/proofs.json");
    let proofs: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    proofs["sp1_v61"]["proof"].as_str().unwrap().parse().unwrap()
}

/// SEQ-INV-6, SEQ-INV-7: `deploy` brings the SP1 verifier with the committed key; a real proof of something else is
/// refused by it, through the sequencer, before it reaches L1; and with one proof of two, attestations alone verify.
#[test]
fn a_real_proof_of_something_else_is_refused() {
    run(async {
        let world = World::start(|c| {
            c.deployer.sp1_deploy_verifier = true;
            c.deployer.sp1_program_key = Some(SP1_PROGRAM.0);
            c.deployer.proof_threshold = Some(1);
        })
        .await;
        let verifier = world.config.deployer.sp1_contract_verifier.expect("it was deployed");
        let l1 = client(&world.l1_url());
        let key = l1.call(verifier, calls::verifier_key_hash(), BlockTag::Latest).await.unwrap();
        assert_eq!(returns::b256(&key).unwrap(), verifiers::key_hash(VerifierKind::Sp1));
        let again = deploy::deploy(&world.config, |_| {}).await.unwrap();
        assert_eq!(again.gas_used, 0, "everything is there");

        let sequencer = world.sequencer().await;
        let claims = ClaimsSp1 { honest: world.backend(&ATTESTER), proof: real_proof() };
        let claimant = world.prover_with("claims-sp1", Box::new(claims));
        let why = until("a refusal", async || {
            common::lock(&claimant.events).iter().find_map(|event| match event {
                ClientEvent::Answered { reply: SubmitReply::Rejected(why), .. } => Some(why.clone()),
                _ => None,
            })
        })
        .await;
        let ProofRejection::Invalid(reason) = &why else { panic!("{why:?}") };
        assert!(reason.contains("ProofInvalid"), "{reason}");
        assert_eq!(world.verified().await, 0);

        let attests = world.prover();
        world.verified_up_to(2).await;
        world.stop(&sequencer).await;
        claimant.stop().await.unwrap();
        attests.stop().await.unwrap();
        world.books().await;
    });
}

/// SEQ-INV-7: with two of two, batches wait for both kinds, and go to L1 with both. The verifier here takes everything.
#[test]
fn two_kinds_of_proof_together() {
    run(async {
        let mut world = World::bare(|_| {}, |_| {}).await;
        let user = world.user_l1().await;
        let call = ensemble::account::Call {
            to: None,
            value: Default::default(),
            data: bytecode::accept_all_verifier(),
        };
        let receipt = world.mining(user.transact(&call, common::LIMIT)).await.unwrap();
        world.config.deployer.sp1_contract_verifier = receipt.contract_address;
        world.config.deployer.sp1_program_key = Some(SP1_PROGRAM.0);
        world.deploy().await;
        let sequencer = world.sequencer().await;
        let attests = world.prover();
        until("an attestation", async || {
            let accepted =
                |e: &ClientEvent| matches!(e, ClientEvent::Answered { reply: SubmitReply::Accepted, .. });
            (attests.count(accepted) >= 2).then_some(())
        })
        .await;
        assert_eq!(world.verified().await, 0, "SP1's proofs are missing");
        let claims = ClaimsSp1 { honest: world.backend(&ATTESTER), proof: Bytes::from_static(b"anything") };
        let sp1 = world.prover_with("sp1", Box::new(claims));
        world.verified_up_to(2).await;
        world.stop(&sequencer).await;
        attests.stop().await.unwrap();
        sp1.stop().await.unwrap();
        world.books().await;
    });
}
