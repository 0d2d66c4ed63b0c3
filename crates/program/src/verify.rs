//! Host side: does an input lead to the header that the sequencer sealed?

use ensemble_batch::{BatchHeader, BatchInput};
use ensemble_error::{Classify, Severity};

use crate::error::ProgramError;
use crate::execute::{ProgramOutput, execute};

/// A header field in which the computed header differs from the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMismatch {
    /// Name of the field.
    pub field: &'static str,
    /// Expected value.
    pub expected: String,
    /// Computed value.
    pub computed: String,
}

impl std::fmt::Display for FieldMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {} instead of {}", self.field, self.computed, self.expected)
    }
}

/// Why an input does not lead to the expected header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The input leads to no header.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The input leads to another header.
    #[error("the input leads to another header: {}", list(.0))]
    Mismatch(Vec<FieldMismatch>),
}

fn list(fields: &[FieldMismatch]) -> String {
    fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Classify for VerifyError {
    fn severity(&self) -> Severity {
        match self {
            Self::Program(e) => e.severity(),
            Self::Mismatch(_) => Severity::Fatal,
        }
    }
}

/// Runs the program and compares its header with the expected one.
///
/// # Errors
/// [`VerifyError::Program`] when the input leads to no header, [`VerifyError::Mismatch`] with every field that
/// differs when it leads to another one.
pub fn verify_batch(input: &BatchInput, expected: &BatchHeader) -> Result<ProgramOutput, VerifyError> {
    let output = execute(input)?;
    let differences = compare(expected, &output.header);
    if differences.is_empty() { Ok(output) } else { Err(VerifyError::Mismatch(differences)) }
}

fn compare(expected: &BatchHeader, computed: &BatchHeader) -> Vec<FieldMismatch> {
    // Destructured, so that a new field cannot be forgotten.
    let fields = |header: &BatchHeader| {
        let BatchHeader {
            parent_hash,
            state_root,
            block_hash,
            withdrawals_root,
            deposits_hash,
            blobs_hash,
            number,
            deposits_index,
            sealed_at,
        } = header;
        [
            ("parent_hash", parent_hash.to_string()),
            ("state_root", state_root.to_string()),
            ("block_hash", block_hash.to_string()),
            ("withdrawals_root", withdrawals_root.to_string()),
            ("deposits_hash", deposits_hash.to_string()),
            ("blobs_hash", blobs_hash.to_string()),
            ("number", number.to_string()),
            ("deposits_index", deposits_index.to_string()),
            ("sealed_at", sealed_at.to_string()),
        ]
    };
    fields(expected)
        .into_iter()
        .zip(fields(computed))
        .filter(|(expected, computed)| expected != computed)
        .map(|((field, expected), (_, computed))| FieldMismatch { field, expected, computed })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, B256};

    #[test]
    fn every_field_is_compared_and_named() {
        let header = BatchHeader::genesis(1, Address::ZERO, 2, B256::ZERO, B256::ZERO);
        assert_eq!(compare(&header, &header), []);
        let one = B256::repeat_byte(1);
        type Change = fn(&mut BatchHeader, B256);
        let changed: [(&str, Change); 9] = [
            ("parent_hash", |h, b| h.parent_hash = b),
            ("state_root", |h, b| h.state_root = b),
            ("block_hash", |h, b| h.block_hash = b),
            ("withdrawals_root", |h, b| h.withdrawals_root = b),
            ("deposits_hash", |h, b| h.deposits_hash = b),
            ("blobs_hash", |h, b| h.blobs_hash = b),
            ("number", |h, _| h.number += 1),
            ("deposits_index", |h, _| h.deposits_index += 1),
            ("sealed_at", |h, _| h.sealed_at += 1),
        ];
        for (name, change) in changed {
            let mut other = header.clone();
            change(&mut other, one);
            let fields: Vec<_> = compare(&header, &other).iter().map(|m| m.field).collect();
            assert_eq!(fields, [name]);
        }
    }
}
