//! Image id of the guest for the L2 of a genesis file: `cargo run -p ensemble-risc0 --example image_id -- genesis.json`. It
//! is what `deployer.risc0_program_key` has to be.
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use ensemble_batch::ProgramKey;
use ensemble_risc0::Guest;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("give the path of the L2's genesis file")?;
    let genesis: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let config = genesis.get("config").ok_or("the genesis has no `config`")?;
    let program = ProgramKey::exec(&ProgramKey::canonical_chain_config(config));
    println!("{}", Guest::new(program)?.image_id().0);
    Ok(())
}
