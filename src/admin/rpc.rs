//! JSON-RPC 2.0 of the admin server, namespace `ensemble_`: what users need, so nothing here changes anything.
//!
//! One object or a list of at most [`MAX_CALLS`] in a `POST`; a call without `id` gets no answer.

use actix_web::{HttpResponse, web};
use alloy_primitives::B256;
use ensemble_actors::Services;
use jsonrpsee::{
    Methods, RpcModule,
    core::RegisterMethodError,
    types::{ErrorCode, ErrorObject, ErrorObjectOwned, Id, Notification, Request, Response, ResponsePayload},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::withdrawals::{TransactionWithdrawal, WithdrawalError, withdrawals_of_transaction};

/// Bytes of the largest request.
pub const MAX_REQUEST: usize = 64 << 10;
/// Most calls in one request.
pub const MAX_CALLS: usize = 16;

/// `ensemble_getWithdrawalProofs(hash of an L2 transaction)`: a list of [`TransactionWithdrawal`], one for each
/// withdrawal that the transaction started, in their order. Errors have a [`Reason`].
pub const GET_WITHDRAWAL_PROOFS: &str = "ensemble_getWithdrawalProofs";

/// Why a call failed: the error's `data.reason`, and its `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// -32010: wait until the transaction is in a block, or check the hash.
    NotMined,
    /// -32011: wait for the next batch.
    NotInBatch,
    /// -32012: there will never be a withdrawal: the transaction failed.
    Failed,
    /// -32013: there will never be a withdrawal: the transaction started none.
    NoWithdrawal,
    /// -32014: L1, the execution client or the store does not answer as it should; try again.
    Unavailable,
    /// -32015: what the store holds is not what the batch was made of; the operator has to see to it.
    Inconsistent,
}

impl Reason {
    /// The JSON-RPC error code.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::NotMined => -32010,
            Self::NotInBatch => -32011,
            Self::Failed => -32012,
            Self::NoWithdrawal => -32013,
            Self::Unavailable => -32014,
            Self::Inconsistent => -32015,
        }
    }

    /// Whether the same call may have an answer later, without anybody doing anything.
    #[must_use]
    pub fn will_pass(self) -> bool {
        match self {
            Self::NotMined | Self::NotInBatch | Self::Unavailable => true,
            Self::Failed | Self::NoWithdrawal | Self::Inconsistent => false,
        }
    }
}

impl From<&WithdrawalError> for Reason {
    fn from(error: &WithdrawalError) -> Self {
        match error {
            WithdrawalError::NotMined(_) => Self::NotMined,
            WithdrawalError::NotInBatch { .. } => Self::NotInBatch,
            WithdrawalError::Failed(_) => Self::Failed,
            WithdrawalError::NoWithdrawal(_) => Self::NoWithdrawal,
            WithdrawalError::Engine(_)
            | WithdrawalError::L1(_)
            | WithdrawalError::Contract(_)
            | WithdrawalError::Store(_) => Self::Unavailable,
            WithdrawalError::Inconsistent(_) => Self::Inconsistent,
        }
    }
}

/// `data` of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorData {
    /// Why.
    pub reason: Reason,
}

/// The methods.
pub(super) fn methods(services: Services) -> Result<Methods, RegisterMethodError> {
    let mut module = RpcModule::new(services);
    module.register_async_method(GET_WITHDRAWAL_PROOFS, |params, services, _| async move {
        let (transaction,) = params.parse::<(B256,)>()?;
        withdrawals_of_transaction(&services, transaction).await.map_err(|error| {
            let reason = Reason::from(&error);
            ErrorObject::owned(reason.code(), error.to_string(), Some(ErrorData { reason }))
        }) as Result<Vec<TransactionWithdrawal>, ErrorObjectOwned>
    })?;
    Ok(module.into())
}

/// `POST /rpc`.
pub(super) async fn answer(methods: web::Data<Methods>, body: web::Bytes) -> HttpResponse {
    match answer_to(&methods, &body).await {
        Some(text) => HttpResponse::Ok().content_type("application/json").body(text),
        None => HttpResponse::NoContent().finish(),
    }
}

/// The answer to a request; none when nothing in it wants one.
async fn answer_to(methods: &Methods, body: &[u8]) -> Option<String> {
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if !is_list {
        return match serde_json::from_slice::<&RawValue>(body) {
            Ok(call) => answer_to_one(methods, call.get()).await,
            Err(_) => Some(refusal(ErrorCode::ParseError.into())),
        };
    }
    let Ok(calls) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
        return Some(refusal(ErrorCode::ParseError.into()));
    };
    if calls.is_empty() || calls.len() > MAX_CALLS {
        let code = ErrorCode::InvalidRequest;
        let message = format!("a list of 1 to {MAX_CALLS} calls is expected, not {}", calls.len());
        return Some(refusal(ErrorObject::owned(code.code(), message, None::<()>)));
    }
    let mut answers = Vec::new();
    for call in calls {
        answers.extend(answer_to_one(methods, call.get()).await);
    }
    (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")))
}

async fn answer_to_one(methods: &Methods, call: &str) -> Option<String> {
    if serde_json::from_str::<Request<'_>>(call).is_ok() {
        // It has one answer, and no subscription.
        return match methods.raw_json_request(call, 1).await {
            Ok((answer, _)) => Some(answer.get().to_owned()),
            Err(_) => Some(refusal(ErrorCode::InvalidRequest.into())),
        };
    }
    let without_id = serde_json::from_str::<Notification<'_, Option<&RawValue>>>(call).is_ok();
    (!without_id).then(|| refusal(ErrorCode::InvalidRequest.into()))
}

/// An error without the id of a call.
fn refusal(error: ErrorObject<'_>) -> String {
    let response = Response::new(ResponsePayload::<'_, ()>::error_borrowed(error), Id::Null);
    serde_json::to_string(&response).unwrap_or_default()
}
