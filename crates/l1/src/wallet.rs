//! Keys and signed transactions.

use std::fmt;

use alloy_consensus::{
    BlobTransactionSidecarVariant, EthereumTxEnvelope, SignableTransaction, Transaction, TxEip1559,
    TxEip4844, TxEip4844Variant, TxEip4844WithSidecar,
};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use ensemble_error::{Classify, Severity};
use ethers_core::types::H256;
use ethers_signers::{LocalWallet, Signer};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::{Sidecar, TxType};

/// A private key. `Debug` shows its address only (SEQ-INV-12).
#[derive(Clone)]
pub struct Wallet {
    inner: LocalWallet,
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallet").field("address", &self.address()).finish_non_exhaustive()
    }
}

/// A key that is none, or a signature that failed. Never holds the key's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    /// The text is not 32 bytes of hex.
    #[error("the private key is not 64 hex digits (with or without 0x)")]
    NotHex,
    /// 32 bytes, but zero or not below the order of secp256k1.
    #[error("the private key is not in the range of secp256k1 keys")]
    OutOfRange,
    /// The signature could not be made.
    #[error("signing failed")]
    Signing,
}

impl Classify for WalletError {
    fn severity(&self) -> Severity {
        match self {
            Self::NotHex | Self::OutOfRange | Self::Signing => Severity::Fatal,
        }
    }
}

/// An EIP-1559 transaction before it is signed. All fees in wei per gas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eip1559Tx {
    /// Chain id.
    pub chain_id: u64,
    /// Nonce.
    pub nonce: u64,
    /// Gas limit.
    pub gas_limit: u64,
    /// Most to pay per gas, tip included.
    pub max_fee_per_gas: u128,
    /// Tip per gas.
    pub max_priority_fee_per_gas: u128,
    /// Receiver; `None` creates a contract.
    pub to: Option<Address>,
    /// Wei to transfer.
    pub value: U256,
    /// Call data or init code.
    pub data: Bytes,
}

/// An EIP-4844 transaction before it is signed. All fees in wei per gas.
#[derive(Clone, Debug)]
pub struct BlobTx<'a> {
    /// Chain id.
    pub chain_id: u64,
    /// Nonce.
    pub nonce: u64,
    /// Gas limit.
    pub gas_limit: u64,
    /// Most to pay per gas, tip included.
    pub max_fee_per_gas: u128,
    /// Tip per gas.
    pub max_priority_fee_per_gas: u128,
    /// Most to pay per blob gas.
    pub max_fee_per_blob_gas: u128,
    /// Receiver: a blob transaction cannot create a contract.
    pub to: Address,
    /// Wei to transfer.
    pub value: U256,
    /// Call data.
    pub data: Bytes,
    /// The blobs.
    pub sidecar: &'a Sidecar,
}

/// A signed transaction in its network form (EIP-2718; a blob transaction with its sidecar).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTx {
    /// Transaction hash.
    pub hash: B256,
    /// Bytes for `eth_sendRawTransaction`.
    pub raw: Bytes,
    /// Nonce.
    pub nonce: u64,
    /// Type.
    pub tx_type: TxType,
    /// The most it can cost in wei: all its gas and blob gas at its fees, and its value.
    pub max_cost: U256,
}

/// Bytes that are no transaction of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a signed EIP-1559 or EIP-4844 transaction: {reason}")]
pub struct NotASignedTx {
    /// What is wrong with them.
    pub reason: String,
}

impl Classify for NotASignedTx {
    fn severity(&self) -> Severity {
        let Self { reason: _ } = self;
        Severity::Fatal
    }
}

type Envelope = EthereumTxEnvelope<TxEip4844Variant<BlobTransactionSidecarVariant>>;

impl SignedTx {
    fn new(envelope: &Envelope) -> Result<Self, NotASignedTx> {
        let blob_gas = envelope.blob_gas_used().unwrap_or(0);
        let gas = U256::from(envelope.gas_limit()).saturating_mul(U256::from(envelope.max_fee_per_gas()));
        let blobs =
            U256::from(blob_gas).saturating_mul(U256::from(envelope.max_fee_per_blob_gas().unwrap_or(0)));
        let tx_type = match envelope {
            EthereumTxEnvelope::Eip1559(_) => TxType::Eip1559,
            EthereumTxEnvelope::Eip4844(_) => TxType::Blob,
            EthereumTxEnvelope::Legacy(_)
            | EthereumTxEnvelope::Eip2930(_)
            | EthereumTxEnvelope::Eip7702(_) => {
                return Err(NotASignedTx { reason: format!("it is of type {:?}", envelope.tx_type()) });
            }
        };
        Ok(Self {
            hash: *envelope.tx_hash(),
            raw: envelope.encoded_2718().into(),
            nonce: envelope.nonce(),
            tx_type,
            max_cost: gas.saturating_add(blobs).saturating_add(envelope.value()),
        })
    }

    /// Reads back the bytes of a signed transaction, as they were stored.
    ///
    /// # Errors
    /// [`NotASignedTx`].
    pub fn decode(raw: &[u8]) -> Result<Self, NotASignedTx> {
        let mut rest = raw;
        let envelope =
            Envelope::decode_2718(&mut rest).map_err(|e| NotASignedTx { reason: e.to_string() })?;
        if !rest.is_empty() {
            return Err(NotASignedTx { reason: format!("{} bytes too many", rest.len()) });
        }
        Self::new(&envelope)
    }
}

impl fmt::Debug for SignedTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedTx")
            .field("hash", &self.hash)
            .field("nonce", &self.nonce)
            .field("tx_type", &self.tx_type)
            .field("max_cost", &self.max_cost)
            .field("raw_len", &self.raw.len())
            .finish()
    }
}

impl Wallet {
    /// The wallet of a private key of 64 hex digits, with or without `0x`. Wipes the text it is given, and every
    /// copy it makes, from memory.
    ///
    /// # Errors
    /// [`WalletError::NotHex`], [`WalletError::OutOfRange`].
    pub fn from_hex(mut key: String) -> Result<Self, WalletError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        let digits = key.trim();
        let decoded = hex::decode_to_slice(digits.strip_prefix("0x").unwrap_or(digits), bytes.as_mut_slice());
        key.zeroize();
        decoded.map_err(|_| WalletError::NotHex)?;
        let inner = LocalWallet::from_bytes(bytes.as_slice()).map_err(|_| WalletError::OutOfRange)?;
        Ok(Self { inner })
    }

    /// The key's address.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::from(self.inner.address().0)
    }

    /// Signs an EIP-1559 transaction.
    ///
    /// # Errors
    /// [`WalletError::Signing`].
    pub fn sign_eip1559(&self, tx: &Eip1559Tx) -> Result<SignedTx, WalletError> {
        let unsigned = TxEip1559 {
            chain_id: tx.chain_id,
            nonce: tx.nonce,
            gas_limit: tx.gas_limit,
            max_fee_per_gas: tx.max_fee_per_gas,
            max_priority_fee_per_gas: tx.max_priority_fee_per_gas,
            to: tx.to.map_or(TxKind::Create, TxKind::Call),
            value: tx.value,
            access_list: Default::default(),
            input: tx.data.clone(),
        };
        let signature = self.signature(unsigned.signature_hash())?;
        let envelope: Envelope = unsigned.into_signed(signature).into();
        SignedTx::new(&envelope).map_err(|_| WalletError::Signing)
    }

    /// Signs an EIP-4844 transaction. Copies the blobs, so it takes some milliseconds for many of them.
    ///
    /// # Errors
    /// [`WalletError::Signing`].
    pub fn sign_blob(&self, tx: &BlobTx<'_>) -> Result<SignedTx, WalletError> {
        let unsigned = TxEip4844 {
            chain_id: tx.chain_id,
            nonce: tx.nonce,
            gas_limit: tx.gas_limit,
            max_fee_per_gas: tx.max_fee_per_gas,
            max_priority_fee_per_gas: tx.max_priority_fee_per_gas,
            to: tx.to,
            value: tx.value,
            access_list: Default::default(),
            blob_versioned_hashes: tx.sidecar.versioned_hashes(),
            max_fee_per_blob_gas: tx.max_fee_per_blob_gas,
            input: tx.data.clone(),
        };
        let signature = self.signature(unsigned.signature_hash())?;
        let with_sidecar = TxEip4844WithSidecar { tx: unsigned, sidecar: tx.sidecar.variant().clone() };
        let variant = TxEip4844Variant::<BlobTransactionSidecarVariant>::TxEip4844WithSidecar(with_sidecar);
        let envelope: Envelope = variant.into_signed(signature).into();
        SignedTx::new(&envelope).map_err(|_| WalletError::Signing)
    }

    /// Signs 32 bytes as they are (no prefix): `r || s || v` with v = 27 or 28, low s, as `ecrecover` takes it.
    ///
    /// # Errors
    /// [`WalletError::Signing`].
    pub fn sign_digest(&self, digest: B256) -> Result<[u8; 65], WalletError> {
        Ok(self.signature(digest)?.as_bytes())
    }

    fn signature(&self, digest: B256) -> Result<Signature, WalletError> {
        let signed = self.inner.sign_hash(H256(digest.0)).map_err(|_| WalletError::Signing)?;
        let parity = match signed.v {
            27 => false,
            28 => true,
            _ => return Err(WalletError::Signing),
        };
        let (mut r, mut s) = ([0u8; 32], [0u8; 32]);
        signed.r.to_big_endian(&mut r);
        signed.s.to_big_endian(&mut s);
        Ok(Signature::from_scalars_and_parity(B256::from(r), B256::from(s), parity))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy_consensus::transaction::SignerRecoverable;
    use alloy_primitives::{address, keccak256};
    use ethers_core::types::transaction::eip2718::TypedTransaction;
    use ethers_core::types::{Eip1559TransactionRequest, Signature as EthersSignature};

    use super::*;
    use crate::SidecarVersion;
    use crate::rpc::transaction_hash;

    /// First account of the well-known test mnemonic ("test test … junk").
    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    const ADDRESS: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

    fn wallet() -> Wallet {
        Wallet::from_hex(KEY.to_owned()).unwrap()
    }

    /// SEQ-INV-12.
    #[test]
    fn shows_its_address_and_nothing_else() {
        let text = format!("{:?}", wallet());
        assert!(text.to_lowercase().contains("f39fd6e51aad88f6f4ce6ab8827279cfffb92266"), "{text}");
        assert!(!text.contains("ac0974"), "{text}");
        for bad in [
            "",
            "0x12",
            &KEY[..65],
            &format!("{KEY}00"),
            "zz0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        ] {
            assert_eq!(Wallet::from_hex(bad.to_owned()).unwrap_err(), WalletError::NotHex);
        }
        for bad in ["00".repeat(32), "ff".repeat(32)] {
            assert_eq!(Wallet::from_hex(bad).unwrap_err(), WalletError::OutOfRange);
        }
        assert_eq!(Wallet::from_hex(format!(" {}\n", &KEY[2..])).unwrap().address(), ADDRESS);
    }

    /// Two encoders, one result: alloy's bytes are those of ethers.
    #[test]
    fn eip1559_bytes_are_those_of_ethers() {
        for to in [Some(ADDRESS), None] {
            let tx = Eip1559Tx {
                chain_id: 3_151_908,
                nonce: 258,
                gas_limit: 1_234_567,
                max_fee_per_gas: 30_000_000_001,
                max_priority_fee_per_gas: 1_000_000,
                to,
                value: U256::from(77),
                data: Bytes::from(vec![0xab; 300]),
            };
            let signed = wallet().sign_eip1559(&tx).unwrap();
            let mut other = Eip1559TransactionRequest::new()
                .chain_id(tx.chain_id)
                .nonce(tx.nonce)
                .gas(tx.gas_limit)
                .max_fee_per_gas(tx.max_fee_per_gas)
                .max_priority_fee_per_gas(tx.max_priority_fee_per_gas)
                .value(77u64)
                .data(tx.data.to_vec());
            if let Some(to) = to {
                other = other.to(ethers_core::types::H160(to.0.0));
            }
            let other: TypedTransaction = other.into();
            let signature = wallet().inner.sign_transaction_sync(&other).unwrap();
            assert_eq!(signed.raw.as_ref(), other.rlp_signed(&signature).as_ref());
            assert_eq!(signed.hash.0, other.hash(&signature).0);
            assert_eq!(transaction_hash(&signed.raw), signed.hash);
            assert_eq!((signed.nonce, signed.tx_type), (258, TxType::Eip1559));
            assert_eq!(signed.max_cost, U256::from(1_234_567_u64 * 30_000_000_001 + 77));
            assert_eq!(SignedTx::decode(&signed.raw).unwrap(), signed);
        }
    }

    /// The form that Solidity's `ecrecover` takes.
    #[test]
    fn digests_recover_to_the_signer() {
        for i in 0..32u8 {
            let digest = keccak256([i]);
            let bytes = wallet().sign_digest(digest).unwrap();
            assert!(bytes[64] == 27 || bytes[64] == 28);
            let signature = EthersSignature::try_from(bytes.as_slice()).unwrap();
            assert_eq!(signature.recover(H256(digest.0)).unwrap().0, ADDRESS.0.0);
        }
    }

    #[test]
    fn blob_transactions_carry_their_sidecar_but_do_not_hash_it() {
        let blobs = ensemble_batch::pack(&[7; 1000], 1).unwrap();
        let mut hashes = Vec::new();
        for version in [SidecarVersion::V0, SidecarVersion::V1] {
            let sidecar = Sidecar::build(&blobs, version).unwrap();
            let tx = BlobTx {
                chain_id: 1,
                nonce: 5,
                gas_limit: 100_000,
                max_fee_per_gas: 10,
                max_priority_fee_per_gas: 1,
                max_fee_per_blob_gas: 3,
                to: ADDRESS,
                value: U256::ZERO,
                data: Bytes::from_static(b"commit"),
                sidecar: &sidecar,
            };
            let signed = wallet().sign_blob(&tx).unwrap();
            assert_eq!(signed.raw[0], 3);
            assert_eq!(transaction_hash(&signed.raw), signed.hash);
            let decoded = EthereumTxEnvelope::<TxEip4844Variant<BlobTransactionSidecarVariant>>::decode_2718(
                &mut signed.raw.as_ref(),
            )
            .unwrap();
            assert_eq!(decoded.recover_signer().unwrap(), ADDRESS);
            assert_eq!(*decoded.tx_hash(), signed.hash);
            assert_eq!(decoded.blob_versioned_hashes().unwrap(), sidecar.versioned_hashes());
            assert_eq!((decoded.nonce(), decoded.max_fee_per_blob_gas()), (5, Some(3)));
            assert_eq!(SignedTx::decode(&signed.raw).unwrap(), signed);
            assert_eq!(signed.tx_type, TxType::Blob);
            assert_eq!(signed.max_cost, U256::from(100_000 * 10 + 131_072 * 3));
            for broken in [&signed.raw[..9], &[signed.raw.as_ref(), &[0]].concat(), b"", b"\x02\xc0"] {
                assert!(SignedTx::decode(broken).is_err());
            }
            assert!(!format!("{signed:?}").contains("ffffff") && format!("{signed:?}").len() < 300);
            hashes.push(signed.hash);
        }
        assert_eq!(hashes[0], hashes[1], "the version of the sidecar is not part of the transaction");
    }
}
