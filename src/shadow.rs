//! `[witness] source = "shadow"`: an embedded execution node that is fed with every sealed block and makes the
//! witnesses that the execution client itself does not serve.

use std::{path::Path, sync::Arc, time::Duration};

use ensemble_engine_api::{EngineConfig, ExecutionClient, HttpExecutionClient, JwtSecret};
use ensemble_node::{EmbeddedNode, NodeConfig, NodeHandle};

use crate::{StartError, startup};

/// Largest witness.
const ANSWER_BYTES: u32 = 256 << 20;

/// Starts the node with the L2's genesis, on free ports of the loopback interface.
pub(crate) async fn start(
    genesis_path: Option<&Path>,
) -> Result<(NodeHandle, Arc<dyn ExecutionClient>), StartError> {
    let failed = |reason: String| StartError::Shadow { reason };
    let path = genesis_path.ok_or_else(|| {
        failed("witness.source = \"shadow\" needs the L2's genesis file: set l2.genesis_path".to_owned())
    })?;
    let config = startup::genesis_config(path)?;
    let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    let genesis = serde_json::from_str(&text).map_err(|e| failed(e.to_string()))?;
    let secret: [u8; 32] = rand::random();
    let node = NodeConfig::local("shadow", genesis, secret).map_err(|e| failed(e.to_string()))?;
    let node = EmbeddedNode::start(node).await.map_err(|e| failed(e.to_string()))?;
    let client = HttpExecutionClient::new(EngineConfig {
        auth_url: node.auth_url(),
        jwt: JwtSecret::from_hex(&hex::encode(secret))?,
        public_url: Some(node.http_url()),
        timeout: Duration::from_secs(60),
        max_response_bytes: ANSWER_BYTES,
        forks: startup::fork_schedule(Some(&config)),
    })?;
    tracing::info!(rpc = node.http_url(), "shadow node for witnesses");
    Ok((node, Arc::new(client)))
}
