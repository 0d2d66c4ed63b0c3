//! Proofs on disk. A STARK takes hours: what was made of one outlives the process.

use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use ensemble_batch::ProgramKey;
use risc0_zkvm::sha::{Impl, Sha256 as _};

/// What is kept of the proof of one batch: a file for each of its segments, then one for the receipt.
#[derive(Debug)]
pub struct Kept {
    directory: PathBuf,
}

impl Kept {
    /// A directory below `root` for exactly this work: program, input and size of the segments.
    ///
    /// # Errors
    /// [`io::Error`] when it cannot be made.
    pub fn of(
        root: &Path,
        batch: u64,
        image_id: ProgramKey,
        segment_po2: u32,
        input: &[u8],
    ) -> io::Result<Self> {
        let work = [image_id.0.as_slice(), &segment_po2.to_le_bytes(), input].concat();
        let directory = root.join(format!("batch-{batch}-{}", Impl::hash_bytes(&work)));
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Name of the file of a segment, by its place from 0.
    pub fn segment(index: usize) -> String {
        format!("segment-{index:05}")
    }

    /// What is in a file, if `read` makes something of it.
    pub fn load<T, E: std::fmt::Display>(
        &self,
        name: &str,
        read: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Option<T> {
        let path = self.directory.join(name);
        let found = match std::fs::read(&path) {
            Ok(bytes) => read(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
        };
        found
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "of no use; proving anew"))
            .ok()
    }

    /// Writes a file: it is there whole or not at all. Without it, a later process makes the same again.
    pub fn save(&self, name: &str, bytes: &[u8]) {
        let path = self.directory.join(name);
        if let Err(error) = write(&path, bytes) {
            tracing::warn!(path = %path.display(), %error, "not kept: a process that is killed begins it anew");
        }
    }

    /// Removes the files of the segments, which are all in the receipt.
    pub fn forget_segments(&self, segments: usize) {
        for path in (0..segments).map(|index| self.directory.join(Self::segment(index))) {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "not removed");
                }
                _ => {}
            }
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_primitives::B256;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        if bytes.is_empty() { Err("empty".to_owned()) } else { Ok(bytes.to_vec()) }
    }

    /// What was kept is found by the same work only; a file that is no use counts as none.
    #[test]
    fn work_finds_what_was_kept_of_it() {
        let root = tempfile::tempdir().unwrap();
        let key = ProgramKey(B256::repeat_byte(1));
        let of = |batch, key, po2, input: &[u8]| Kept::of(root.path(), batch, key, po2, input).unwrap();
        let kept = of(1, key, 18, b"input");
        assert_eq!(kept.load("segment-00000", read), None);
        kept.save(&Kept::segment(0), b"a proof");
        kept.save(&Kept::segment(1), b"");
        kept.save("stark", b"all");
        let again = of(1, key, 18, b"input");
        assert_eq!(again.load("segment-00000", read), Some(b"a proof".to_vec()));
        assert_eq!(again.load(&Kept::segment(1), read), None);
        for other in [
            of(2, key, 18, b"input"),
            of(1, ProgramKey(B256::repeat_byte(2)), 18, b"input"),
            of(1, key, 19, b"input"),
            of(1, key, 18, b"inpuT"),
        ] {
            assert_eq!(other.load("segment-00000", read), None, "{other:?}");
        }
        again.forget_segments(3);
        let left: Vec<_> =
            again.directory().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["stark"]);
    }
}
