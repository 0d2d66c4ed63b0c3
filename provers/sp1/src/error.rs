//! Errors of the guest and its executions.

/// Why the guest cannot be made or run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Sp1Error {
    /// The committed guest cannot be read.
    #[error("the guest's file: {0}")]
    Guest(String),
    /// The guest refused the input.
    #[error("{0}")]
    Refused(String),
    /// The guest ended with another exit code than success and refusal.
    #[error("the guest ended with exit code {code}: {words}")]
    Exit {
        /// Its exit code.
        code: u32,
        /// The last 2 KiB of its standard error.
        words: String,
    },
    /// The public values do not have the hash that the guest committed to, or not 64 bytes.
    #[error("the guest left {0} bytes that are no public values")]
    Values(usize),
    /// SP1's prover or verifier failed.
    #[error("SP1's prover: {0}")]
    Prover(String),
}
