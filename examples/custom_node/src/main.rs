//! A node of its own with the sequencer inside: an L1, an L2, and an actor that hears of every block.
//!
//! It ends after three blocks, with exit code 0 only when each was built on the one before.

use std::{error::Error, path::Path, process::ExitCode, time::Duration};

use actix::{Actor, Context, Handler, System};
use ensemble::{
    Sequencer,
    config::{Config, PrivateKey, StoreLocation},
    deploy,
    messages::BlockSealed,
};
use ensemble_contracts::bytecode;
use ensemble_engine_api::JwtSecret;
use ensemble_node::{
    DEV_ACCOUNTS, DevL1, DevL1Config, DevL1Handle, EmbeddedNode, GenesisBuilder, NodeConfig, NodeHandle,
};
use tokio::sync::mpsc;

/// Blocks to wait for.
const BLOCKS: usize = 3;
/// Longest wait for them.
const PATIENCE: Duration = Duration::from_secs(60);

/// Our own component. The sequencer sends it every block.
struct Explorer {
    blocks: mpsc::Sender<BlockSealed>,
}

impl Actor for Explorer {
    type Context = Context<Self>;
}

impl Handler<BlockSealed> for Explorer {
    type Result = ();

    fn handle(&mut self, block: BlockSealed, _: &mut Context<Self>) {
        if let Err(error) = self.blocks.try_send(block) {
            say(format!("block {} is not looked at: {error}", block.number));
        }
    }
}

fn main() -> ExitCode {
    match System::new().block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (l1, l2) = chains(folder.path()).await?;
    say(format!("L1 {}\nL2 {}", l1.rpc_url(), l2.http_url()));

    let mut config = configuration(folder.path(), &l1, &l2)?;
    let deployment = deploy::deploy(&config, |step| say(step.to_string())).await?;
    deployment.apply_to(&mut config);

    let (sender, mut blocks) = mpsc::channel(64);
    let explorer = Explorer { blocks: sender }.start();
    let sequencer =
        Sequencer::builder().config(config).subscribe::<BlockSealed>(explorer.recipient()).start().await?;

    let outcome = tokio::select! {
        outcome = look_at(&mut blocks) => outcome,
        reason = sequencer.wait() => Err(format!("the sequencer ended by itself: {reason}")),
        () = tokio::time::sleep(PATIENCE) => Err(format!("no {BLOCKS} blocks within {} s", PATIENCE.as_secs())),
    };

    let report = sequencer.shutdown().await;
    l2.shutdown().await?;
    l1.shutdown().await?;
    outcome?;
    if !report.is_clean() {
        return Err(format!("not every component stopped in time: {report:?}").into());
    }
    say("stopped cleanly");
    Ok(())
}

/// Prints the blocks and checks that they are a chain.
async fn look_at(blocks: &mut mpsc::Receiver<BlockSealed>) -> Result<(), String> {
    let mut last: Option<BlockSealed> = None;
    for _ in 0..BLOCKS {
        let block = blocks.recv().await.ok_or("the explorer is gone")?;
        say(format!("block {}  {}  {} transaction(s)", block.number, block.hash, block.transactions));
        if let Some(last) = last.replace(block)
            && (block.number, block.parent_hash) != (last.number + 1, last.hash)
        {
            return Err(format!("block {} does not follow block {}", block.number, last.number));
        }
    }
    Ok(())
}

/// An L1 and an L2 in this process, on free ports. A real node has the URLs of its own instead.
async fn chains(folder: &Path) -> Result<(DevL1Handle, NodeHandle), Box<dyn Error>> {
    let l1 = DevL1::start(DevL1Config::default()).await?;
    let jwt = JwtSecret::generate_file(folder.join("jwt.hex"))?;
    let genesis = GenesisBuilder::l2().common_bridge_l2(bytecode::l2_bridge_runtime()).build();
    let l2 = EmbeddedNode::start(NodeConfig::local("l2", genesis, *jwt.expose())?).await?;
    Ok((l1, l2))
}

/// The configuration, in code; `Config::load` reads it from files, variables and flags.
fn configuration(folder: &Path, l1: &DevL1Handle, l2: &NodeHandle) -> Result<Config, Box<dyn Error>> {
    let key = |n: usize| DEV_ACCOUNTS[n].private_key.parse::<PrivateKey>();
    let mut config = Config::default();
    config.eth.rpc_url = vec![l1.rpc_url().parse()?];
    config.eth.confirmations = 1;
    config.deployer.l1_private_key = Some(key(0)?);
    config.committer.l1_private_key = Some(key(1)?);
    config.prover_server.l1_private_key = Some(key(2)?);
    config.prover_server.dev_mode = true; // no provers in this example
    config.proposer.coinbase_address = Some(DEV_ACCOUNTS[3].address);
    config.proposer.interval_ms = 1_000;
    config.engine.auth_url = l2.auth_url().parse()?;
    config.engine.public_url = Some(l2.http_url().parse()?);
    config.engine.jwt_path = folder.join("jwt.hex");
    config.store.url = StoreLocation::sqlite(folder.join("ensemble.db"));
    Ok(config)
}

#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
fn say(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}
