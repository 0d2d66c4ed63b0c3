//! The admin server: health and status of the sequencer, control of its components, proofs of withdrawals.
//!
//! JSON over HTTP, and JSON-RPC ([`rpc`]) at `POST /rpc`. It has no authentication: it listens on the loopback address unless configured otherwise, and
//! must not be reachable from outside.

pub mod rpc;

use std::net::SocketAddr;

use actix_web::{App, HttpResponse, HttpServer, Responder, dev::ServerHandle, web};
use alloy_primitives::B256;
use ensemble_l1::EndpointStatus;
use ensemble_store::BatchStatus;
use ensemble_supervision::ComponentStatus;
use serde::{Deserialize, Serialize};

use crate::{
    Sequencer, StartError,
    withdrawals::{WithdrawalError, withdrawal_proof, withdrawals_of_transaction},
};

/// What the sequencer is doing, for operators.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Every component.
    pub components: Vec<ComponentStatus>,
    /// L1 chain id.
    pub l1_chain_id: u64,
    /// What is thought of each endpoint of L1.
    pub l1_endpoints: Vec<EndpointStatus>,
    /// L2 chain id.
    pub l2_chain_id: u64,
    /// `OnChainProposer`.
    pub proposer: alloy_primitives::Address,
    /// `CommonBridge`.
    pub bridge: alloy_primitives::Address,
    /// Last L1 block that was read for deposits.
    pub l1_block: Option<u64>,
    /// Last deposit that was seen on L1.
    pub last_deposit: Option<u64>,
    /// Last deposit that is on the L2.
    pub included_deposit: Option<u64>,
    /// Head of the L2.
    pub head: Option<u64>,
    /// Last batch that is sealed.
    pub sealed_batch: Option<u64>,
    /// Last batch that is committed on L1.
    pub committed_batch: Option<u64>,
    /// Last batch that is verified on L1.
    pub verified_batch: Option<u64>,
}

/// A running admin server.
#[derive(Debug)]
pub struct AdminServer {
    handle: ServerHandle,
    address: SocketAddr,
}

impl AdminServer {
    /// Starts the server. Must be called inside an actix system.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn start(sequencer: Sequencer, address: SocketAddr) -> Result<Self, StartError> {
        let refused = |reason: String| StartError::Admin { address: address.to_string(), reason };
        let failed = |e: std::io::Error| refused(e.to_string());
        let methods = rpc::methods(sequencer.services().clone()).map_err(|e| refused(e.to_string()))?;
        let bound = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(sequencer.clone()))
                .app_data(web::Data::new(methods.clone()))
                .app_data(web::PayloadConfig::new(rpc::MAX_REQUEST))
                .route("/health", web::get().to(health))
                .route("/status", web::get().to(status))
                .route("/components/{name}/{action}", web::post().to(control))
                .route("/withdrawals/{transaction}", web::get().to(withdrawals))
                .route("/withdrawals/{block}/{id}", web::get().to(withdrawal))
                .route("/rpc", web::post().to(rpc::answer))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .bind(address)
        .map_err(failed)?;
        let address = bound.addrs().first().copied().unwrap_or(address);
        let server = bound.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Self { handle, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the server.
    pub async fn stop(&self) {
        self.handle.stop(false).await;
    }
}

async fn health(sequencer: web::Data<Sequencer>) -> impl Responder {
    let unhealthy: Vec<_> = sequencer.status().into_iter().filter(|c| !c.state.is_healthy()).collect();
    if unhealthy.is_empty() {
        HttpResponse::Ok().json(serde_json::json!({ "healthy": true }))
    } else {
        HttpResponse::ServiceUnavailable()
            .json(serde_json::json!({ "healthy": false, "components": unhealthy }))
    }
}

async fn read_status(sequencer: &Sequencer) -> Result<Status, ensemble_store::StoreError> {
    let services = sequencer.services();
    let (store, chain) = (&services.store, &services.chain);
    let head = store.head_block().await?;
    let batch = async |status| store.last_batch_at_least(status).await.map(|b| b.map(|b| b.header.number));
    Ok(Status {
        components: sequencer.status(),
        l1_chain_id: chain.l1_chain_id,
        l1_endpoints: services.l1.endpoints(),
        l2_chain_id: chain.l2_chain_id,
        proposer: chain.proposer,
        bridge: chain.bridge,
        l1_block: store.cursor().await?.map(|c| c.number),
        last_deposit: store.last_deposit().await?.map(|d| d.id),
        included_deposit: head.as_ref().map(|h| h.deposits_index),
        head: head.as_ref().map(|h| h.number),
        sealed_batch: batch(BatchStatus::Sealed).await?,
        committed_batch: batch(BatchStatus::Committed).await?,
        verified_batch: batch(BatchStatus::Verified).await?,
    })
}

fn failed(error: impl std::fmt::Display) -> HttpResponse {
    HttpResponse::InternalServerError().json(serde_json::json!({ "error": error.to_string() }))
}

async fn status(sequencer: web::Data<Sequencer>) -> impl Responder {
    match read_status(&sequencer).await {
        Ok(status) => HttpResponse::Ok().json(status),
        Err(error) => failed(error),
    }
}

async fn control(sequencer: web::Data<Sequencer>, path: web::Path<(String, String)>) -> impl Responder {
    let (name, action) = path.into_inner();
    let system = sequencer.system();
    let done = match action.as_str() {
        "restart" => system.restart(&name).await,
        "pause" => system.pause(&name).await,
        "resume" => system.resume(&name).await,
        other => {
            let error = format!("unknown action `{other}`: use restart, pause or resume");
            return HttpResponse::NotFound().json(serde_json::json!({ "error": error }));
        }
    };
    match done {
        Ok(()) => HttpResponse::Ok().json(serde_json::json!({ "component": name, "done": action })),
        Err(error) => HttpResponse::BadRequest().json(serde_json::json!({ "error": error.to_string() })),
    }
}

async fn withdrawal(sequencer: web::Data<Sequencer>, path: web::Path<(u64, u64)>) -> impl Responder {
    let (block, id) = path.into_inner();
    match withdrawal_proof(&sequencer.services().store, block, id).await {
        Ok(Some(proof)) => HttpResponse::Ok().json(proof),
        Ok(None) => HttpResponse::NotFound().json(serde_json::json!({
            "error": format!("no batch holds withdrawal {id} of L2 block {block} yet")
        })),
        Err(error) => failed(error),
    }
}

/// As [`rpc::GET_WITHDRAWAL_PROOFS`].
async fn withdrawals(sequencer: web::Data<Sequencer>, path: web::Path<String>) -> impl Responder {
    let Ok(transaction) = path.parse::<B256>() else {
        let error = "no transaction hash: 0x and 64 hex digits are expected";
        return HttpResponse::BadRequest().json(serde_json::json!({ "error": error }));
    };
    match withdrawals_of_transaction(sequencer.services(), transaction).await {
        Ok(all) => HttpResponse::Ok().json(all),
        Err(error) => {
            let mut answer = match error {
                WithdrawalError::NotMined(_)
                | WithdrawalError::Failed(_)
                | WithdrawalError::NoWithdrawal(_)
                | WithdrawalError::NotInBatch { .. } => HttpResponse::NotFound(),
                WithdrawalError::Engine(_) | WithdrawalError::L1(_) | WithdrawalError::Contract(_) => {
                    HttpResponse::BadGateway()
                }
                WithdrawalError::Inconsistent(_) | WithdrawalError::Store(_) => {
                    HttpResponse::InternalServerError()
                }
            };
            let reason = rpc::Reason::from(&error);
            answer.json(serde_json::json!({ "error": error.to_string(), "reason": reason }))
        }
    }
}
