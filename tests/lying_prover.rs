//! Provers that lie, next to an honest one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use alloy_primitives::B256;
use common::{ATTESTER, Prover, USER, World, run, until};
use ensemble::messages::{ProofRejection, ProverType, SubmitReply};
use ensemble_batch::{BatchInput, ProgramKey};
use ensemble_prover::{
    BackendError, BackendProof, Cancel, ClientEvent, ExecBackend, ProverBackend,
    attestation::{AttestationDomain, AttestationKey, sign},
};

/// Bad proofs after which a prover is turned away.
const MAX_BAD_PROOFS: usize = 3;

/// Makes a good proof, changes what it says, and signs the lie with the good key.
struct Liar {
    honest: ExecBackend,
    domain: AttestationDomain,
    lie: fn(&mut BackendProof),
}

impl ProverBackend for Liar {
    fn prover_type(&self) -> ProverType {
        ProverType::Exec
    }

    fn prove(&self, input: &BatchInput, cancel: &Cancel) -> Result<BackendProof, BackendError> {
        let mut made = self.honest.prove(input, cancel)?;
        (self.lie)(&mut made);
        let key = AttestationKey::from_hex(ATTESTER.private_key).unwrap();
        made.proof = sign(&key, &self.domain, made.program_key, &made.public_values).to_vec().into();
        Ok(made)
    }
}

fn rejections(prover: &Prover) -> Vec<ProofRejection> {
    let events = common::lock(&prover.events).clone();
    events
        .into_iter()
        .filter_map(|e| match e {
            ClientEvent::Answered { reply: SubmitReply::Rejected(why), .. } => Some(why),
            _ => None,
        })
        .collect()
}

/// SEQ-INV-6, SEQ-INV-7: no lie is acknowledged, each liar is put in quarantine, and the honest prover has every
/// batch verified.
#[test]
fn lies_are_rejected_and_every_batch_is_verified() {
    run(async {
        let world = World::start(|_| {}).await;
        let sequencer = world.sequencer().await;
        let liar = |name: &str, lie: fn(&mut BackendProof)| {
            let (honest, domain) = (world.backend(&ATTESTER), world.domain());
            world.prover_with(name, Box::new(Liar { honest, domain, lie }))
        };
        let liars = [
            ("another batch", liar("another-batch", |p| p.public_values.to = B256::repeat_byte(1))),
            ("another parent", liar("another-parent", |p| p.public_values.from = B256::repeat_byte(2))),
            (
                "another program",
                liar("another-program", |p| p.program_key = ProgramKey(B256::repeat_byte(3))),
            ),
            ("a foreign key", world.prover_with("foreign-key", Box::new(world.backend(&USER)))),
        ];
        for (what, prover) in &liars {
            until(&format!("the quarantine of {what}"), async || {
                (rejections(prover).len() >= MAX_BAD_PROOFS).then_some(())
            })
            .await;
        }
        assert_eq!(world.verified().await, 0, "nothing is verified by lies");

        let honest = world.prover();
        let wanted = world.committed().await + 2;
        world.verified_up_to(wanted).await;
        world.stop(&sequencer).await;
        let report = honest.stop().await.unwrap();
        assert_eq!((report.rejected, report.failed), (0, 0), "{report:?}");
        for (what, prover) in liars {
            let why = rejections(&prover);
            assert_eq!(why.len(), MAX_BAD_PROOFS, "{what} was given work in quarantine: {why:?}");
            for why in why {
                match (what, &why) {
                    ("another batch" | "another parent", ProofRejection::WrongPublicValues { .. })
                    | ("another program", ProofRejection::WrongProgram { .. }) => {}
                    ("a foreign key", ProofRejection::Invalid(reason)) => {
                        assert!(reason.contains("not a registered attester"), "{reason}");
                    }
                    _ => panic!("{what} was rejected for another reason: {why:?}"),
                }
            }
            let accepted = |e: &ClientEvent| {
                matches!(
                    e,
                    ClientEvent::Answered { reply: SubmitReply::Accepted | SubmitReply::Duplicate, .. }
                )
            };
            assert_eq!(prover.count(accepted), 0, "{what}");
        }
        let books = world.books().await;
        assert!(books.verified >= wanted, "{books:?}");
        assert!(report.accepted >= books.verified, "{report:?} {books:?}");
    });
}
