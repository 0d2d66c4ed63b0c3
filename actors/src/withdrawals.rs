//! The withdrawals that blocks of the L2 started.

use std::collections::BTreeMap;

use ensemble_batch::L2Withdrawal;
use ensemble_contracts::{ContractError, L2_BRIDGE_ADDRESS, events};
use ensemble_engine_api::{EngineError, ExecutionClient};

/// The withdrawals that the blocks `first` to `last` started, by block, in order.
///
/// # Errors
/// When the client cannot be asked, or an event of the bridge cannot be read.
pub async fn withdrawals_of<E: From<EngineError> + From<ContractError>>(
    engine: &dyn ExecutionClient,
    first: u64,
    last: u64,
) -> Result<BTreeMap<u64, Vec<L2Withdrawal>>, E> {
    let topic = events::WithdrawalInitiated::topic();
    let mut logs = engine.logs(L2_BRIDGE_ADDRESS, topic, first, last).await?;
    logs.sort_by_key(|log| (log.block_number, log.log_index));
    let mut by_block: BTreeMap<u64, Vec<L2Withdrawal>> = BTreeMap::new();
    for log in logs {
        let event = events::WithdrawalInitiated::decode(&log.topics, &log.data)?;
        by_block.entry(log.block_number).or_default().push(L2Withdrawal {
            id: event.id,
            to: event.receiver,
            amount: event.amount,
        });
    }
    Ok(by_block)
}
