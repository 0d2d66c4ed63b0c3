//! Subscriptions to what the sequencer does.

use actix::Message;
use ensemble_actors::Fanout;
use ensemble_messages::{
    BatchCommitted, BatchSealed, BatchVerified, BlockSealed, HeadChanged, L1Advanced, L1Reorged, NewDeposit,
    ProofReady, TxConfirmed, TxFailed,
};
use ensemble_supervision::Outlet;

/// The consumers of each event: the components' own and those of whoever embeds the sequencer.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions {
    pub(crate) new_deposit: Fanout<NewDeposit>,
    pub(crate) l1_advanced: Fanout<L1Advanced>,
    pub(crate) l1_reorged: Fanout<L1Reorged>,
    pub(crate) block_sealed: Fanout<BlockSealed>,
    pub(crate) head_changed: Fanout<HeadChanged>,
    pub(crate) batch_sealed: Fanout<BatchSealed>,
    pub(crate) batch_committed: Fanout<BatchCommitted>,
    pub(crate) proof_ready: Fanout<ProofReady>,
    pub(crate) batch_verified: Fanout<BatchVerified>,
    pub(crate) tx_confirmed: Fanout<TxConfirmed>,
    pub(crate) tx_failed: Fanout<TxFailed>,
}

/// A message that can be subscribed to with [`crate::SequencerBuilder::subscribe`].
pub trait Event: Message<Result = ()> + Send + Clone + 'static {
    /// Adds a consumer.
    fn add_to(subscriptions: &mut Subscriptions, outlet: Outlet<Self>);
}

macro_rules! events {
    ($($event:ty => $field:ident),+ $(,)?) => {
        $(impl Event for $event {
            fn add_to(subscriptions: &mut Subscriptions, outlet: Outlet<Self>) {
                subscriptions.$field.add(outlet);
            }
        })+
    };
}

events! {
    NewDeposit => new_deposit,
    L1Advanced => l1_advanced,
    L1Reorged => l1_reorged,
    BlockSealed => block_sealed,
    HeadChanged => head_changed,
    BatchSealed => batch_sealed,
    BatchCommitted => batch_committed,
    ProofReady => proof_ready,
    BatchVerified => batch_verified,
    TxConfirmed => tx_confirmed,
    TxFailed => tx_failed,
}
