//! The contracts' events. Decoding is strict: the right topic, the right number of topics and bytes, no bit outside
//! of a type's width.

use alloy_primitives::{Address, B256, U256, b256};

use crate::ContractError;
use crate::words::{Words, address_of, u64_of};

/// The three indexed topics and the data of a log, once the topic is known to be right.
fn parts<'a, const TOPICS: usize>(
    event: &'static str,
    topic: B256,
    topics: &[B256],
    data: &'a [u8],
    words: usize,
) -> Result<([B256; TOPICS], Words<'a>), ContractError> {
    let bad = |reason: String| ContractError::BadEvent { event, reason };
    let (first, rest) = topics.split_first().ok_or_else(|| bad("it has no topic".to_owned()))?;
    if *first != topic {
        return Err(bad(format!("its topic is {first}")));
    }
    let indexed = <[B256; TOPICS]>::try_from(rest)
        .map_err(|_| bad(format!("{} indexed values instead of {TOPICS}", rest.len())))?;
    Ok((indexed, Words::exact(data, words).map_err(bad)?))
}

macro_rules! topic {
    ($value:expr) => {
        /// The first topic: keccak256 of the event's signature.
        pub const TOPIC: B256 = $value;

        /// [`Self::TOPIC`].
        #[must_use]
        pub const fn topic() -> B256 {
            Self::TOPIC
        }
    };
}

/// `DepositInitiated(uint256 indexed amount, address indexed to, uint256 indexed depositId, bytes32 rollingHash)` of
/// `CommonBridge`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepositInitiated {
    /// Amount in wei.
    pub amount: U256,
    /// Account to credit on the L2.
    pub to: Address,
    /// Id of the deposit, from 1 without gaps.
    pub deposit_id: u64,
    /// The bridge's rolling hash after it, low 32 bits zero.
    pub rolling_hash: B256,
}

impl DepositInitiated {
    topic!(b256!("bf29f8db8a5a5bbb4c68b53450dbf7038a520b4a7b6f3fba148efdf2e902e0b2"));

    /// Reads a log.
    ///
    /// # Errors
    /// [`ContractError::BadEvent`] when it is not this event.
    pub fn decode(topics: &[B256], data: &[u8]) -> Result<Self, ContractError> {
        let event = "DepositInitiated";
        let bad = |reason: String| ContractError::BadEvent { event, reason };
        let ([amount, to, id], mut words) = parts(event, Self::TOPIC, topics, data, 1)?;
        Ok(Self {
            amount: amount.into(),
            to: address_of(to).map_err(bad)?,
            deposit_id: u64_of(id).map_err(bad)?,
            rolling_hash: words.word().map_err(bad)?,
        })
    }
}

/// `WithdrawalClaimed(uint256 indexed id, address indexed to, uint256 amount)` of `CommonBridge`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawalClaimed {
    /// Id of the withdrawal.
    pub id: u64,
    /// Account that was paid.
    pub to: Address,
    /// Amount in wei.
    pub amount: U256,
}

impl WithdrawalClaimed {
    topic!(b256!("8adb7a84b2998a8d11cd9284395f95d5a99f160be785ae79998c654979bd3d9a"));

    /// Reads a log.
    ///
    /// # Errors
    /// [`ContractError::BadEvent`] when it is not this event.
    pub fn decode(topics: &[B256], data: &[u8]) -> Result<Self, ContractError> {
        let event = "WithdrawalClaimed";
        let bad = |reason: String| ContractError::BadEvent { event, reason };
        let ([id, to], mut words) = parts(event, Self::TOPIC, topics, data, 1)?;
        Ok(Self {
            id: u64_of(id).map_err(bad)?,
            to: address_of(to).map_err(bad)?,
            amount: words.u256().map_err(bad)?,
        })
    }
}

/// `BatchCommitted(uint256 indexed number, bytes32 indexed hash, bytes32 stateRoot)` of `OnChainProposer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchCommitted {
    /// Batch number.
    pub number: u64,
    /// Hash of the batch's header.
    pub hash: B256,
    /// L2 state root after the batch.
    pub state_root: B256,
}

impl BatchCommitted {
    topic!(b256!("2f28155e8facb6da759c658bb2019146406dc7dab022b12dbfb4874f3553aaf9"));

    /// Reads a log.
    ///
    /// # Errors
    /// [`ContractError::BadEvent`] when it is not this event.
    pub fn decode(topics: &[B256], data: &[u8]) -> Result<Self, ContractError> {
        let event = "BatchCommitted";
        let bad = |reason: String| ContractError::BadEvent { event, reason };
        let ([number, hash], mut words) = parts(event, Self::TOPIC, topics, data, 1)?;
        Ok(Self { number: u64_of(number).map_err(bad)?, hash, state_root: words.word().map_err(bad)? })
    }
}

/// `BatchesVerified(uint256 indexed first, uint256 indexed last, bytes32 hash)` of `OnChainProposer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchesVerified {
    /// First batch of the verified range.
    pub first: u64,
    /// Last batch of the verified range.
    pub last: u64,
    /// Hash of the last batch's header.
    pub hash: B256,
}

impl BatchesVerified {
    topic!(b256!("583e6c472c8e806d0794361bda3b7c4203ad1ee589fb044281142094e495a930"));

    /// Reads a log.
    ///
    /// # Errors
    /// [`ContractError::BadEvent`] when it is not this event.
    pub fn decode(topics: &[B256], data: &[u8]) -> Result<Self, ContractError> {
        let event = "BatchesVerified";
        let bad = |reason: String| ContractError::BadEvent { event, reason };
        let ([first, last], mut words) = parts(event, Self::TOPIC, topics, data, 1)?;
        Ok(Self {
            first: u64_of(first).map_err(bad)?,
            last: u64_of(last).map_err(bad)?,
            hash: words.word().map_err(bad)?,
        })
    }
}

/// `BatchesReverted(uint256 indexed first, uint256 indexed last)` of `OnChainProposer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchesReverted {
    /// First batch that was taken back.
    pub first: u64,
    /// Last batch that was taken back.
    pub last: u64,
}

impl BatchesReverted {
    topic!(b256!("fddbc0123e8329393180b2d7d65a454f36a951b44f6629dcb46e34e8c18b315a"));

    /// Reads a log.
    ///
    /// # Errors
    /// [`ContractError::BadEvent`] when it is not this event.
    pub fn decode(topics: &[B256], data: &[u8]) -> Result<Self, ContractError> {
        let event = "BatchesReverted";
        let bad = |reason: String| ContractError::BadEvent { event, reason };
        let ([first, last], _) = parts(event, Self::TOPIC, topics, data, 0)?;
        Ok(Self { first: u64_of(first).map_err(bad)?, last: u64_of(last).map_err(bad)? })
    }
}

/// `WithdrawalInitiated(address indexed sender, address indexed receiver, uint256 indexed amount, uint256 id)` of
/// `CommonBridgeL2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawalInitiated {
    /// Account on the L2 that called the bridge.
    pub sender: Address,
    /// Account to pay on L1.
    pub receiver: Address,
    /// Amount in wei.
    pub amount: U256,
    /// Id of the withdrawal, from 0 without gaps.
    pub id: u64,
}

impl WithdrawalInitiated {
    topic!(b256!("2e16c360bf25f9193c8e78b0fcdf02bacfd34fd98ec9fe4aa2549e15346dafd2"));

    /// Reads a log.
    ///
    /// # Errors
    /// [`ContractError::BadEvent`] when it is not this event.
    pub fn decode(topics: &[B256], data: &[u8]) -> Result<Self, ContractError> {
        let event = "WithdrawalInitiated";
        let bad = |reason: String| ContractError::BadEvent { event, reason };
        let ([sender, receiver, amount], mut words) = parts(event, Self::TOPIC, topics, data, 1)?;
        Ok(Self {
            sender: address_of(sender).map_err(bad)?,
            receiver: address_of(receiver).map_err(bad)?,
            amount: amount.into(),
            id: words.u64().map_err(bad)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ethers_contract::EthEvent;
    use proptest::prelude::*;

    use super::*;
    use crate::abi::{bridge, bridge_l2, proposer};

    fn word(value: u64) -> B256 {
        B256::from(U256::from(value))
    }

    /// Ours are the topics of the compiled contracts.
    #[test]
    fn topics_of_the_artifacts() {
        for (ours, theirs) in [
            (DepositInitiated::topic(), bridge::DepositInitiatedFilter::signature()),
            (WithdrawalClaimed::topic(), bridge::WithdrawalClaimedFilter::signature()),
            (BatchCommitted::topic(), proposer::BatchCommittedFilter::signature()),
            (BatchesVerified::topic(), proposer::BatchesVerifiedFilter::signature()),
            (BatchesReverted::topic(), proposer::BatchesRevertedFilter::signature()),
            (WithdrawalInitiated::topic(), bridge_l2::WithdrawalInitiatedFilter::signature()),
        ] {
            assert_eq!(ours.0, theirs.0);
        }
        assert_eq!(
            bridge::DepositInitiatedFilter::abi_signature(),
            "DepositInitiated(uint256,address,uint256,bytes32)"
        );
    }

    #[test]
    fn decodes() {
        let to = Address::repeat_byte(7);
        assert_eq!(
            DepositInitiated::decode(
                &[DepositInitiated::TOPIC, word(5), to.into_word(), word(1)],
                word(9).as_slice()
            )
            .unwrap(),
            DepositInitiated { amount: U256::from(5), to, deposit_id: 1, rolling_hash: word(9) }
        );
        assert_eq!(
            WithdrawalClaimed::decode(
                &[WithdrawalClaimed::TOPIC, word(3), to.into_word()],
                word(4).as_slice()
            )
            .unwrap(),
            WithdrawalClaimed { id: 3, to, amount: U256::from(4) }
        );
        assert_eq!(
            BatchCommitted::decode(&[BatchCommitted::TOPIC, word(3), word(4)], word(5).as_slice()).unwrap(),
            BatchCommitted { number: 3, hash: word(4), state_root: word(5) }
        );
        assert_eq!(
            BatchesVerified::decode(&[BatchesVerified::TOPIC, word(3), word(4)], word(5).as_slice()).unwrap(),
            BatchesVerified { first: 3, last: 4, hash: word(5) }
        );
        assert_eq!(
            BatchesReverted::decode(&[BatchesReverted::TOPIC, word(3), word(4)], &[]).unwrap(),
            BatchesReverted { first: 3, last: 4 }
        );
        let from = Address::repeat_byte(8);
        let topics = [WithdrawalInitiated::TOPIC, from.into_word(), to.into_word(), word(6)];
        assert_eq!(
            WithdrawalInitiated::decode(&topics, word(0).as_slice()).unwrap(),
            WithdrawalInitiated { sender: from, receiver: to, amount: U256::from(6), id: 0 }
        );
    }

    #[test]
    fn refuses_other_logs() {
        let to = Address::repeat_byte(7).into_word();
        let good = [DepositInitiated::TOPIC, word(5), to, word(1)];
        let data = word(9);
        let dirty = B256::repeat_byte(1);
        for (topics, data) in [
            (&[][..], data.as_slice()),
            (&good[..3], data.as_slice()),
            (&good[1..], data.as_slice()),
            (&[DepositInitiated::TOPIC, word(5), dirty, word(1)][..], data.as_slice()),
            (&[DepositInitiated::TOPIC, word(5), to, dirty][..], data.as_slice()),
            (&[DepositInitiated::TOPIC, word(5), to, word(1), word(1)][..], data.as_slice()),
            (&good[..], &data[1..]),
            (&good[..], &[0; 64][..]),
        ] {
            assert!(matches!(
                DepositInitiated::decode(topics, data),
                Err(ContractError::BadEvent { event: "DepositInitiated", .. })
            ));
        }
    }

    proptest! {
        /// SEQ-INV-11: any log gives an event or an error.
        #[test]
        fn any_log(
            topics in proptest::collection::vec(any::<[u8; 32]>().prop_map(B256::new), 0..6),
            data in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            prop_assert!(DepositInitiated::decode(&topics, &data).is_err());
            let mut named = topics.clone();
            named.insert(0, BatchesVerified::TOPIC);
            let read = BatchesVerified::decode(&named, &data);
            prop_assert!(read.is_err() || (topics.len() == 2 && data.len() == 32));
        }
    }
}
