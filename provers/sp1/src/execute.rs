//! Runs guests in SP1's executor.

use std::sync::Arc;

use alloy_primitives::B256;
use ensemble_batch::{BatchInput, PublicValues};
use ensemble_program::GuestInput;
use sha2::{Digest, Sha256};
use sp1_core_executor::{MinimalExecutorEnum, OutputConsumers, Program, with_output_consumers};
use tokio::sync::watch;

use crate::error::Sp1Error;
use crate::guest::Guest;

/// Bytes of a public value.
const VALUE: usize = 32;
/// Exit code of a guest that panicked, as it does when the program refuses the input.
const PANICKED: u32 = 1;
/// What the guest's refusal begins with.
const REFUSED: &str = "refused: ";

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The public values that the guest committed to.
    pub values: PublicValues,
    /// Instructions that it took. A call of a precompile is one; what it costs to prove is not in here.
    pub cycles: u64,
}

impl Guest {
    /// Runs the guest. Blocks, and cannot be stopped.
    ///
    /// # Errors
    /// [`Sp1Error::Refused`] when the program refuses the input; [`Sp1Error::Exit`], [`Sp1Error::Values`].
    pub fn execute(&self, input: &BatchInput) -> Result<Execution, Sp1Error> {
        self.execute_bytes(&pack(input)?)
    }

    /// [`execute`](Self::execute) on what the guest is to read.
    ///
    /// # Errors
    /// As there.
    pub fn execute_bytes(&self, input: &[u8]) -> Result<Execution, Sp1Error> {
        let (values, cycles) = run(self.program(), &[input])?;
        match values.as_chunks::<VALUE>() {
            ([from, to], []) => Ok(Execution {
                values: PublicValues { from: B256::from(*from), to: B256::from(*to) },
                cycles,
            }),
            _ => Err(Sp1Error::Values(values.len())),
        }
    }
}

/// What the guest reads of a batch.
pub(crate) fn pack(input: &BatchInput) -> Result<Vec<u8>, Sp1Error> {
    GuestInput::new(input).and_then(|input| input.to_bytes()).map_err(|e| Sp1Error::Refused(e.to_string()))
}

/// Runs any trusted guest: the executor keeps it from nothing. What it committed to, and its cycles.
///
/// # Errors
/// As for [`Guest::execute`].
pub fn run(program: &Arc<Program>, input: &[&[u8]]) -> Result<(Vec<u8>, u64), Sp1Error> {
    let mut executor = MinimalExecutorEnum::new(Arc::clone(program), false, None);
    for part in input {
        executor.with_input(part);
    }
    let (stderr, words) = watch::channel(String::new());
    let consumers = OutputConsumers { stdout: None, stderr: Some(stderr) };
    with_output_consumers(&consumers, || while executor.execute_chunk().is_some() {});
    let code = executor.exit_code();
    if code != 0 || !executor.is_done() {
        let words = words.borrow().clone();
        // The panic is told twice: with its place, and by its words alone.
        return Err(match words.rsplit_once(REFUSED) {
            Some((_, why)) if code == PANICKED => Sp1Error::Refused(why.trim_end().to_owned()),
            _ => Sp1Error::Exit { code, words },
        });
    }
    let cycles = executor.global_clk();
    let digest: Vec<u8> = executor.public_value_digest().into_iter().flat_map(u32::to_le_bytes).collect();
    let values = executor.into_public_values_stream();
    if Sha256::digest(&values)[..] != digest[..] {
        return Err(Sp1Error::Values(values.len()));
    }
    Ok((values, cycles))
}
