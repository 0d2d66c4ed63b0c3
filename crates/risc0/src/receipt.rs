//! Receipts: what a prover hands in, what of it goes to L1.

use alloy_primitives::B256;
use bincode::Options;
use ensemble_batch::{ProgramKey, PublicValues};
use ensemble_error::{Classify, Severity};
use risc0_binfmt::Digestible;
use risc0_zkvm::{Digest, FakeReceipt, InnerReceipt, ReceiptClaim, VerifierContext};

/// First bytes of a development seal: RISC Zero's own mock verifier has the same.
pub const DEVELOPMENT_SELECTOR: [u8; 4] = [0xff; 4];
/// Bytes of the selector before a Groth16 seal: the start of the verifier parameters' digest.
const SELECTOR_BYTES: usize = 4;
/// Longest receipt. A segment of 2^20 cycles takes some 280 KB.
const MAX_RECEIPT: u64 = 256 << 20;

/// What L1 takes in place of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seals {
    /// Groth16 seals and nothing else.
    Groth16,
    /// Development seals, which prove nothing: for contracts that were deployed so. STARK receipts are checked in full
    /// before they become one; development receipts are believed.
    Development,
}

/// Why a receipt is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The bytes are no receipt.
    #[error("no receipt: {0}")]
    Malformed(String),
    /// The receipt does not prove that this image committed to these public values.
    #[error("the receipt does not verify: {0}")]
    Invalid(String),
    /// A development receipt, where proofs are wanted.
    #[error("a development receipt proves nothing, and this sequencer does not run for development")]
    Development,
    /// A STARK, where L1 wants Groth16.
    #[error("a STARK receipt is too long for L1: it has to be wrapped into Groth16")]
    NotWrapped,
}

impl Classify for ReceiptError {
    fn severity(&self) -> Severity {
        match self {
            Self::Malformed(_) | Self::Invalid(_) | Self::Development | Self::NotWrapped => {
                Severity::Recoverable
            }
        }
    }
}

/// A receipt of RISC Zero. Its bytes are bincode 1 with fixed-size integers.
#[derive(Clone, Debug)]
pub struct Receipt(risc0_zkvm::Receipt);

impl Receipt {
    /// A receipt that proves nothing: for development, after an execution.
    #[must_use]
    pub fn development(image_id: ProgramKey, values: &PublicValues) -> Self {
        let claim = claim(image_id, values);
        Self(risc0_zkvm::Receipt::new(InnerReceipt::Fake(FakeReceipt::new(claim)), journal(values)))
    }

    /// One that RISC Zero's prover made.
    #[must_use]
    pub fn new(receipt: risc0_zkvm::Receipt) -> Self {
        Self(receipt)
    }

    /// The bytes of the receipt.
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`] does not happen for a receipt in memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ReceiptError> {
        bincode::serialize(&self.0).map_err(|e| ReceiptError::Malformed(e.to_string()))
    }

    /// Reads a receipt; none of it is believed.
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReceiptError> {
        bincode::DefaultOptions::new()
            .with_fixint_encoding()
            .with_limit(MAX_RECEIPT.min(bytes.len() as u64))
            .deserialize(bytes)
            .map(Self)
            .map_err(|e| ReceiptError::Malformed(e.to_string()))
    }

    /// Checks that the receipt proves that this image ended well and committed to these values, and gives what L1 is to
    /// be sent: 260 bytes of selector and Groth16 proof, or 36 bytes of development seal.
    ///
    /// # Errors
    /// [`ReceiptError`] when it does not, or when L1 would not take it.
    pub fn check(
        &self,
        image_id: ProgramKey,
        values: &PublicValues,
        seals: Seals,
    ) -> Result<Vec<u8>, ReceiptError> {
        match (seals, &self.0.inner) {
            (Seals::Groth16, InnerReceipt::Fake(_)) => return Err(ReceiptError::Development),
            (Seals::Development, InnerReceipt::Fake(_)) => self.verify(image_id, values, true)?,
            (Seals::Groth16 | Seals::Development, _) => self.verify(image_id, values, false)?,
        }
        match (seals, &self.0.inner) {
            (Seals::Development, _) => Ok(development_seal(image_id, values)),
            (Seals::Groth16, InnerReceipt::Groth16(groth16)) => {
                let selector = groth16.verifier_parameters.as_bytes().iter().take(SELECTOR_BYTES);
                Ok(selector.chain(&groth16.seal).copied().collect())
            }
            (Seals::Groth16, _) => Err(ReceiptError::NotWrapped),
        }
    }
}

impl Receipt {
    /// Checks a receipt of any kind that proves something.
    ///
    /// # Errors
    /// [`ReceiptError`] when it does not prove that this image ended well and committed to these values.
    pub fn check_stark(&self, image_id: ProgramKey, values: &PublicValues) -> Result<(), ReceiptError> {
        match &self.0.inner {
            InnerReceipt::Fake(_) => Err(ReceiptError::Development),
            _ => self.verify(image_id, values, false),
        }
    }

    /// `believe` lets development receipts through. Never by the environment, which is what the context's default goes by.
    fn verify(&self, image_id: ProgramKey, values: &PublicValues, believe: bool) -> Result<(), ReceiptError> {
        if self.0.journal.bytes != journal(values) {
            return Err(ReceiptError::Invalid("it has other public values".to_owned()));
        }
        let context = VerifierContext::default().with_dev_mode(believe);
        // RISC Zero's verifier looks at places of a seal that may not be there.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.0.verify_with_context(&context, Digest::from(image_id.0.0))
        }))
        .map_err(|_| ReceiptError::Invalid("the verifier panicked".to_owned()))?
        .map_err(|e| ReceiptError::Invalid(e.to_string()))
    }
}

/// What the development verifier takes: its selector and the digest of the claim.
fn development_seal(image_id: ProgramKey, values: &PublicValues) -> Vec<u8> {
    let digest = claim(image_id, values).digest::<risc0_zkvm::sha::Impl>();
    [DEVELOPMENT_SELECTOR.as_slice(), digest.as_bytes()].concat()
}

fn journal(values: &PublicValues) -> Vec<u8> {
    let halves: [B256; 2] = [values.from, values.to];
    halves.concat()
}

fn claim(image_id: ProgramKey, values: &PublicValues) -> ReceiptClaim {
    ReceiptClaim::ok(Digest::from(image_id.0.0), journal(values))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const IMAGE: ProgramKey = ProgramKey(B256::repeat_byte(7));

    fn values() -> PublicValues {
        PublicValues { from: B256::repeat_byte(1), to: B256::repeat_byte(2) }
    }

    /// SEQ-INV-7: whatever the environment says.
    #[test]
    fn a_development_receipt_is_taken_in_development_only() {
        let receipt = Receipt::development(IMAGE, &values());
        let receipt = Receipt::from_bytes(&receipt.to_bytes().unwrap()).unwrap();
        assert_eq!(receipt.check(IMAGE, &values(), Seals::Groth16), Err(ReceiptError::Development));
        let seal = receipt.check(IMAGE, &values(), Seals::Development).unwrap();
        assert_eq!((seal.len(), &seal[..4]), (36, DEVELOPMENT_SELECTOR.as_slice()));
    }

    #[test]
    fn a_receipt_is_for_one_image_and_one_batch() {
        let receipt = Receipt::development(IMAGE, &values());
        let mut others = [values(), values()];
        others[0].from = B256::ZERO;
        others[1].to = B256::ZERO;
        for other in others {
            let refused = receipt.check(IMAGE, &other, Seals::Development);
            assert!(matches!(refused, Err(ReceiptError::Invalid(_))), "{refused:?}");
        }
        let refused = receipt.check(ProgramKey(B256::ZERO), &values(), Seals::Development);
        assert!(matches!(refused, Err(ReceiptError::Invalid(_))), "{refused:?}");
    }

    /// The bytes of a STARK receipt with one segment, of this seal.
    fn stark(seal: Vec<u32>) -> Vec<u8> {
        let claim = claim(IMAGE, &values());
        let segment = (seal, 0u32, "poseidon2", Digest::ZERO, claim);
        // Variant, segments, assumptions, parameters; journal; parameters of the metadata.
        let receipt = (0u32, vec![segment], 0u64, Digest::ZERO, journal(&values()), Digest::ZERO);
        bincode::serialize(&receipt).unwrap()
    }

    /// SEQ-INV-7, SEQ-INV-11: a STARK has to hold in development too, and RISC Zero's verifier panics on an empty seal.
    #[test]
    fn bad_starks_are_refused() {
        for seal in [vec![], vec![2], vec![2; 90], vec![0xffff_ffff; 70_000]] {
            let receipt = Receipt::from_bytes(&stark(seal)).unwrap();
            assert!(matches!(receipt.0.inner, InnerReceipt::Composite(_)));
            for seals in [Seals::Groth16, Seals::Development] {
                let refused = receipt.check(IMAGE, &values(), seals);
                assert!(matches!(refused, Err(ReceiptError::Invalid(_))), "{refused:?}");
            }
            assert!(receipt.check_stark(IMAGE, &values()).is_err());
        }
    }

    /// SEQ-INV-11
    #[test]
    fn other_bytes_are_no_receipt() {
        let good = Receipt::development(IMAGE, &values()).to_bytes().unwrap();
        let mut longer = good.clone();
        longer.push(0);
        let mut lying = good.clone();
        lying[..12].copy_from_slice(&[0xff; 12]);
        for bad in [vec![], vec![0xff; 300], good[..good.len() - 1].to_vec(), longer, lying] {
            assert!(matches!(Receipt::from_bytes(&bad), Err(ReceiptError::Malformed(_))));
        }
    }
}
