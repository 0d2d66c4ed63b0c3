//! Blobs: KZG commitments, proofs and sidecars (EIP-4844, EIP-7594).
//!
//! Everything here but [`versioned_hash`] is CPU work of tens to hundreds of milliseconds per blob: run it in
//! `spawn_blocking`. The trusted setup is loaded once per process, at [`warm_up`] or at first use.

use std::num::NonZeroUsize;

use alloy_consensus::BlobTransactionSidecarVariant;
use alloy_eips::eip4844::{Blob, BlobTransactionSidecar, Bytes48, VERSIONED_HASH_VERSION_KZG};
use alloy_eips::eip7594::BlobTransactionSidecarEip7594;
use alloy_primitives::{B256, FixedBytes};
use c_kzg::KzgSettings;
use ensemble_batch::BlobProof;
pub use ensemble_batch::{BLOB_BYTES, versioned_hash};
use ensemble_error::{Classify, Severity};
use serde::{Deserialize, Serialize};

/// Blobs that one transaction may carry since Osaka (EIP-7594).
pub const MAX_BLOBS_PER_TX: usize = 6;

/// Blobs that a block may hold in Prague (EIP-7691), hence the limit of a version 0 transaction.
pub const MAX_BLOBS_PER_TX_V0: usize = 9;

/// Precomputation level of the trusted setup. Measured on one core, level 0 against level 8: load 2.0 s against
/// 2.6 s, commitment 49 ms and blob proof 53 ms with either, cell proofs of a blob 300 ms against 197 ms, memory
/// 4 MiB against 98 MiB. A batch every few seconds does not need the difference.
const PRECOMPUTE: u64 = 0;

/// The BLS12-381 scalar field's modulus, big endian (EIP-4844 `BLS_MODULUS`).
const BLS_MODULUS: [u8; 32] = [
    0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d, 0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1, 0xd8, 0x05, 0x53,
    0xbd, 0xa4, 0x02, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01,
];

/// Form of a blob transaction's sidecar on the network. It is not part of the transaction's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SidecarVersion {
    /// EIP-4844: one proof per blob. For an L1 before Osaka.
    V0,
    /// EIP-7594: 128 cell proofs per blob. Demanded since Osaka.
    #[default]
    V1,
}

/// Blobs with their commitments and proofs, ready to be signed into transactions.
#[derive(Clone, PartialEq, Eq)]
pub struct Sidecar {
    inner: BlobTransactionSidecarVariant,
}

impl std::fmt::Debug for Sidecar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sidecar")
            .field("version", &self.version())
            .field("versioned_hashes", &self.versioned_hashes())
            .finish_non_exhaustive()
    }
}

/// Why blobs make no sidecar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// A blob transaction needs at least one blob (EIP-4844).
    #[error("a sidecar needs at least one blob")]
    Empty,
    /// More blobs than a transaction can carry.
    #[error("{count} blobs are more than the {max} that one transaction can carry")]
    TooMany {
        /// Number given.
        count: usize,
        /// Limit.
        max: usize,
    },
    /// A blob of another size.
    #[error("blob {index} has {length} bytes, expected {BLOB_BYTES}")]
    WrongLength {
        /// Which blob.
        index: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// 32 bytes of a blob are no field element.
    #[error("blob {index}, element {element}: not below the BLS modulus")]
    NotCanonical {
        /// Which blob.
        index: usize,
        /// Which of its 4096 elements.
        element: usize,
    },
    /// The KZG library failed.
    #[error("KZG failed on blob {index}: {reason}")]
    Kzg {
        /// Which blob.
        index: usize,
        /// Its words.
        reason: String,
    },
}

impl Classify for BlobError {
    fn severity(&self) -> Severity {
        match self {
            Self::Empty
            | Self::TooMany { .. }
            | Self::WrongLength { .. }
            | Self::NotCanonical { .. }
            | Self::Kzg { .. } => Severity::Fatal,
        }
    }
}

impl Sidecar {
    /// One blob of zeros, for a transaction that is only to use up a nonce.
    ///
    /// # Errors
    /// [`BlobError`] when the library refuses it.
    pub fn empty(version: SidecarVersion) -> Result<Self, BlobError> {
        Self::build(&[vec![0u8; BLOB_BYTES]], version)
    }

    /// Computes commitments and proofs, the blobs in parallel. About 100 ms per blob for version 0 and 350 ms for
    /// version 1 on one core: run it in `spawn_blocking`.
    ///
    /// # Errors
    /// [`BlobError`] when a blob is not [`BLOB_BYTES`] long or not canonical, or there are none or too many.
    pub fn build<B: AsRef<[u8]> + Sync>(blobs: &[B], version: SidecarVersion) -> Result<Self, BlobError> {
        let max = match version {
            SidecarVersion::V0 => MAX_BLOBS_PER_TX_V0,
            SidecarVersion::V1 => MAX_BLOBS_PER_TX,
        };
        if blobs.is_empty() {
            return Err(BlobError::Empty);
        }
        if blobs.len() > max {
            return Err(BlobError::TooMany { count: blobs.len(), max });
        }
        let mut copies = vec![Blob::ZERO; blobs.len()];
        for (index, (copy, blob)) in copies.iter_mut().zip(blobs).enumerate() {
            check_blob(index, blob.as_ref())?;
            copy.copy_from_slice(blob.as_ref());
        }
        let per_blob = in_parallel(&copies, |index, blob| {
            let blob = to_kzg(index, blob.as_slice())?;
            let commitment = commit(index, &blob)?;
            let proofs = match version {
                SidecarVersion::V0 => vec![prove(index, &blob, &commitment)?],
                SidecarVersion::V1 => {
                    let (_, proofs) =
                        settings().compute_cells_and_kzg_proofs(&blob).map_err(|e| kzg(index, &e))?;
                    proofs.iter().map(|p| Bytes48::from(p.to_bytes().into_inner())).collect()
                }
            };
            Ok((commitment, proofs))
        })?;
        let (commitments, proofs): (Vec<_>, Vec<_>) = per_blob.into_iter().unzip();
        let proofs = proofs.concat();
        let inner =
            match version {
                SidecarVersion::V0 => BlobTransactionSidecarVariant::Eip4844(BlobTransactionSidecar::new(
                    copies,
                    commitments,
                    proofs,
                )),
                SidecarVersion::V1 => BlobTransactionSidecarVariant::Eip7594(
                    BlobTransactionSidecarEip7594::new(copies, commitments, proofs),
                ),
            };
        Ok(Self { inner })
    }

    /// Form of the sidecar.
    #[must_use]
    pub fn version(&self) -> SidecarVersion {
        match &self.inner {
            BlobTransactionSidecarVariant::Eip4844(_) => SidecarVersion::V0,
            BlobTransactionSidecarVariant::Eip7594(_) => SidecarVersion::V1,
        }
    }

    /// Number of blobs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.blobs().len()
    }

    /// Never true: a sidecar holds at least one blob.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.blobs().is_empty()
    }

    /// KZG commitments, one per blob.
    #[must_use]
    pub fn commitments(&self) -> &[FixedBytes<48>] {
        self.inner.commitments()
    }

    /// Versioned hashes, one per blob, as `BLOBHASH` gives them.
    #[must_use]
    pub fn versioned_hashes(&self) -> Vec<B256> {
        self.commitments().iter().map(versioned_hash).collect()
    }

    /// Commitments and EIP-4844 blob proofs, which the proven program needs whatever the sidecar's version is.
    /// About 50 ms per blob for version 1, nothing for version 0.
    ///
    /// # Errors
    /// [`BlobError::Kzg`] when the KZG library fails.
    pub fn blob_proofs(&self) -> Result<Vec<BlobProof>, BlobError> {
        match &self.inner {
            BlobTransactionSidecarVariant::Eip4844(v0) => Ok(v0
                .commitments
                .iter()
                .zip(&v0.proofs)
                .map(|(commitment, proof)| BlobProof { commitment: *commitment, proof: *proof })
                .collect()),
            BlobTransactionSidecarVariant::Eip7594(v1) => in_parallel(&v1.blobs, |index, blob| {
                let commitment = *v1.commitments.get(index).ok_or_else(|| no_commitment(index))?;
                let blob = to_kzg(index, blob.as_slice())?;
                let proof = prove(index, &blob, &commitment)?;
                Ok(BlobProof { commitment, proof })
            }),
        }
    }

    pub(crate) fn variant(&self) -> &BlobTransactionSidecarVariant {
        &self.inner
    }
}

/// Commitment and EIP-4844 proof (`compute_blob_kzg_proof`) of each blob. About 100 ms per blob: run it in
/// `spawn_blocking`.
///
/// # Errors
/// [`BlobError`] when a blob is not [`BLOB_BYTES`] long or not canonical.
pub fn blob_proofs<B: AsRef<[u8]> + Sync>(blobs: &[B]) -> Result<Vec<BlobProof>, BlobError> {
    in_parallel(blobs, |index, blob| {
        check_blob(index, blob.as_ref())?;
        let blob = to_kzg(index, blob.as_ref())?;
        let commitment = commit(index, &blob)?;
        Ok(BlobProof { commitment, proof: prove(index, &blob, &commitment)? })
    })
}

/// Versioned hash of each blob (EIP-4844). About 50 ms per blob: run it in `spawn_blocking`.
///
/// # Errors
/// [`BlobError`] when a blob is not [`BLOB_BYTES`] long or not canonical.
pub fn versioned_hashes<B: AsRef<[u8]> + Sync>(blobs: &[B]) -> Result<Vec<B256>, BlobError> {
    in_parallel(blobs, |index, blob| {
        check_blob(index, blob.as_ref())?;
        let blob = to_kzg(index, blob.as_ref())?;
        Ok(versioned_hash(&commit(index, &blob)?))
    })
}

/// Whether a hash has the version byte of KZG commitments, as each hash in a blob transaction must (EIP-4844).
#[must_use]
pub fn is_versioned_hash(hash: &B256) -> bool {
    hash.0[0] == VERSIONED_HASH_VERSION_KZG
}

/// Loads the trusted setup, which takes a second or two. Run it in `spawn_blocking` at start; later calls return
/// at once.
pub fn warm_up() {
    settings();
}

fn settings() -> &'static KzgSettings {
    c_kzg::ethereum_kzg_settings(PRECOMPUTE)
}

fn check_blob(index: usize, blob: &[u8]) -> Result<(), BlobError> {
    if blob.len() != BLOB_BYTES {
        return Err(BlobError::WrongLength { index, length: blob.len() });
    }
    match blob.chunks_exact(32).position(|element| element >= BLS_MODULUS.as_slice()) {
        Some(element) => Err(BlobError::NotCanonical { index, element }),
        None => Ok(()),
    }
}

fn kzg(index: usize, error: &c_kzg::Error) -> BlobError {
    BlobError::Kzg { index, reason: error.to_string() }
}

fn no_commitment(index: usize) -> BlobError {
    BlobError::Kzg { index, reason: "the sidecar has no commitment for it".to_owned() }
}

fn to_kzg(index: usize, blob: &[u8]) -> Result<Box<c_kzg::Blob>, BlobError> {
    c_kzg::Blob::from_bytes(blob).map(Box::new).map_err(|e| kzg(index, &e))
}

fn commit(index: usize, blob: &c_kzg::Blob) -> Result<Bytes48, BlobError> {
    let commitment = settings().blob_to_kzg_commitment(blob).map_err(|e| kzg(index, &e))?;
    Ok(Bytes48::from(commitment.to_bytes().into_inner()))
}

fn prove(index: usize, blob: &c_kzg::Blob, commitment: &Bytes48) -> Result<Bytes48, BlobError> {
    let proof = settings()
        .compute_blob_kzg_proof(blob, &c_kzg::Bytes48::new(commitment.0))
        .map_err(|e| kzg(index, &e))?;
    Ok(Bytes48::from(proof.to_bytes().into_inner()))
}

/// Applies `work` to each item on as many threads as there are cores; the results keep their order.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(usize, &T) -> Result<R, BlobError> + Sync,
) -> Result<Vec<R>, BlobError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(items.len()).max(1);
    if threads == 1 {
        return items.iter().enumerate().map(|(i, item)| work(i, item)).collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let chunk = items.len().div_ceil(threads);
        let handles: Vec<_> = items
            .chunks(chunk)
            .enumerate()
            .map(|(c, part)| {
                scope.spawn(move || {
                    part.iter()
                        .enumerate()
                        .map(|(i, item)| work(c * chunk + i, item))
                        .collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        let mut out = Vec::with_capacity(items.len());
        for (c, handle) in handles.into_iter().enumerate() {
            let part = handle.join().map_err(|_| BlobError::Kzg {
                index: c * chunk,
                reason: "the worker thread panicked".to_owned(),
            })?;
            out.extend(part?);
        }
        Ok(out)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy_primitives::b256;
    use ensemble_batch::pack;

    use super::*;

    fn payload(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 % 251) as u8).collect()
    }

    /// The commitment of the zero blob is the point at infinity, its versioned hash a constant that everybody knows.
    #[test]
    fn zero_blob() {
        let sidecar = Sidecar::build(&[vec![0u8; BLOB_BYTES]], SidecarVersion::V0).unwrap();
        let mut infinity = [0u8; 48];
        infinity[0] = 0xc0;
        assert_eq!(sidecar.commitments(), [FixedBytes(infinity)]);
        let hash = b256!("010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014");
        assert_eq!(sidecar.versioned_hashes(), [hash]);
        assert!(is_versioned_hash(&hash) && !is_versioned_hash(&B256::ZERO));
    }

    /// Both versions hold the same commitments in the same order, and proofs that verify.
    #[test]
    fn proofs_verify() {
        let blobs = pack(&payload(300_000), 3).unwrap();
        assert_eq!(blobs.len(), 3);
        let v0 = Sidecar::build(&blobs, SidecarVersion::V0).unwrap();
        let v1 = Sidecar::build(&blobs, SidecarVersion::V1).unwrap();
        assert_eq!((v0.version(), v1.version()), (SidecarVersion::V0, SidecarVersion::V1));
        assert_eq!((v0.len(), v1.len()), (3, 3));
        assert_eq!(v0.commitments(), v1.commitments());
        let proofs = blob_proofs(&blobs).unwrap();
        assert_eq!(proofs, v0.blob_proofs().unwrap());
        assert_eq!(proofs, v1.blob_proofs().unwrap());
        for (index, (blob, proof)) in blobs.iter().zip(&proofs).enumerate() {
            let blob = to_kzg(index, blob.as_ref()).unwrap();
            let commitment = c_kzg::Bytes48::new(proof.commitment.0);
            let good =
                settings().verify_blob_kzg_proof(&blob, &commitment, &c_kzg::Bytes48::new(proof.proof.0));
            assert!(good.unwrap());
            let other = c_kzg::Bytes48::new(proofs[(index + 1) % 3].proof.0);
            assert!(!settings().verify_blob_kzg_proof(&blob, &commitment, &other).unwrap());
        }
        let hashes = v1.versioned_hashes();
        assert_eq!(hashes, proofs.iter().map(|p| versioned_hash(&p.commitment)).collect::<Vec<_>>());
        v1.variant().as_eip7594().unwrap().validate(&hashes, settings()).unwrap();
        v0.variant().as_eip4844().unwrap().validate(&hashes, settings()).unwrap();
    }

    #[test]
    fn refuses_what_is_no_blob() {
        let none: [Vec<u8>; 0] = [];
        assert_eq!(Sidecar::build(&none, SidecarVersion::V1).unwrap_err(), BlobError::Empty);
        let good = vec![0u8; BLOB_BYTES];
        let error = Sidecar::build(&[&good; 7], SidecarVersion::V1).unwrap_err();
        assert_eq!(error, BlobError::TooMany { count: 7, max: 6 });
        let error = Sidecar::build(&[good.as_slice(), &[0; 5]], SidecarVersion::V0).unwrap_err();
        assert_eq!(error, BlobError::WrongLength { index: 1, length: 5 });
        let mut bad = good.clone();
        bad[64..96].copy_from_slice(&BLS_MODULUS);
        let error = blob_proofs(&[bad.clone()]).unwrap_err();
        assert_eq!(error, BlobError::NotCanonical { index: 0, element: 2 });
        bad[95] = 0; // the modulus minus one
        assert!(check_blob(0, &bad).is_ok());
    }
}
