//! The embedded execution client as a process of its own, to drive over the network: Engine API with JWT on one
//! port, public JSON-RPC on the other. For trying `ensemble run` without installing an execution client; its chain
//! lives in memory, and the sequencer gives it back after a restart.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use ensemble_engine_api::JwtSecret;
use ensemble_node::{EmbeddedNode, GenesisBuilder, NodeConfig};

#[derive(Debug, Parser)]
#[command(
    name = "l2_node",
    version,
    about = "The embedded execution client as a process of its own",
    after_help = "Example:\n  l2_node --jwt ./jwt.hex --genesis ./genesis-l2.json"
)]
struct Args {
    /// Address of the public JSON-RPC port.
    #[arg(long, default_value = "127.0.0.1:1729")]
    http: SocketAddr,
    /// Address of the Engine API port.
    #[arg(long, default_value = "127.0.0.1:8551")]
    auth: SocketAddr,
    /// File with the JWT secret in hex; made when it is not there.
    #[arg(long, default_value = "./jwt.hex")]
    jwt: PathBuf,
    /// Genesis file; a devnet genesis is written there when it is not there.
    #[arg(long, default_value = "./genesis-l2.json")]
    genesis: PathBuf,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for people")]
fn main() -> ExitCode {
    let args = Args::parse();
    let ran = tokio::runtime::Runtime::new().map_err(|e| e.to_string()).and_then(|runtime| {
        runtime.block_on(async {
            let node = start(&args).await?;
            println!("JSON-RPC {}  Engine API {}", node.http_url(), node.auth_url());
            println!("JWT secret {}  genesis {}", args.jwt.display(), args.genesis.display());
            tokio::signal::ctrl_c().await.map_err(|e| e.to_string())?;
            node.shutdown().await.map_err(|e| e.to_string())
        })
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start(args: &Args) -> Result<ensemble_node::NodeHandle, String> {
    let secret = if args.jwt.exists() {
        JwtSecret::from_hex_file(&args.jwt)
    } else {
        JwtSecret::generate_file(&args.jwt)
    }
    .map_err(|e| e.to_string())?;
    let genesis = if args.genesis.exists() {
        let text =
            std::fs::read_to_string(&args.genesis).map_err(|e| format!("{}: {e}", args.genesis.display()))?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", args.genesis.display()))?
    } else {
        let genesis =
            GenesisBuilder::l2().common_bridge_l2(ensemble_contracts::bytecode::l2_bridge_runtime()).build();
        std::fs::write(&args.genesis, format!("{genesis:#}"))
            .map_err(|e| format!("{}: {e}", args.genesis.display()))?;
        genesis
    };
    let config = NodeConfig {
        http_addr: args.http,
        auth_addr: args.auth,
        ..NodeConfig::local("l2", genesis, *secret.expose()).map_err(|e| e.to_string())?
    };
    EmbeddedNode::start(config).await.map_err(|e| e.to_string())
}
