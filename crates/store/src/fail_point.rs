//! Named places around every write, where a test can have a panic or an error (feature `fault-injection`).

use crate::StoreError;

/// Every fail point of this crate, in the syntax of [`fail::cfg`].
///
/// `before`: nothing is written yet. `after`: it is written, and the caller does not learn of it.
#[cfg(feature = "fault-injection")]
pub const FAIL_POINTS: &[&str] = &[
    "store.insert_batch.before",
    "store.insert_batch.after",
    "store.mark_committed.before",
    "store.mark_committed.after",
    "store.mark_verified.before",
    "store.mark_verified.after",
    "store.uncommit_above.before",
    "store.uncommit_above.after",
    "store.unverify_above.before",
    "store.unverify_above.after",
    "store.insert_new_block.before",
    "store.insert_new_block.after",
    "store.insert_block.before",
    "store.insert_block.after",
    "store.set_block_extras.before",
    "store.set_block_extras.after",
    "store.prune_witnesses.before",
    "store.prune_witnesses.after",
    "store.put_intent.before",
    "store.put_intent.after",
    "store.confirm_intent.before",
    "store.confirm_intent.after",
    "store.fail_intent.before",
    "store.fail_intent.after",
    "store.retry_intent.before",
    "store.retry_intent.after",
    "store.adopt_signed.before",
    "store.adopt_signed.after",
    "store.insert_signed.before",
    "store.insert_signed.after",
    "store.record_l1_range.before",
    "store.record_l1_range.after",
    "store.unwind_l1.before",
    "store.unwind_l1.after",
    "store.insert_proof.before",
    "store.insert_proof.after",
    "store.insert_range_proof.before",
    "store.insert_range_proof.after",
    "store.remove_proof.before",
    "store.remove_proof.after",
    "store.remove_range_proof.before",
    "store.remove_range_proof.after",
    "store.insert_lease.before",
    "store.insert_lease.after",
    "store.extend_lease.before",
    "store.extend_lease.after",
    "store.remove_lease.before",
    "store.remove_lease.after",
    "store.set_back.before",
    "store.set_back.after",
];

/// A fail point: panics, or fails as a disk would, when a test has told it to.
#[cfg(feature = "fault-injection")]
pub(crate) fn hit(name: &'static str) -> Result<(), StoreError> {
    fail::fail_point!(name, |_| Err(StoreError::Database(sqlx::Error::Io(std::io::Error::other(format!(
        "injected fault at {name}"
    ))))));
    Ok(())
}

#[cfg(not(feature = "fault-injection"))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail with the feature")]
pub(crate) const fn hit(_: &'static str) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(all(test, feature = "fault-injection"))]
mod tests {
    use super::FAIL_POINTS;

    /// The list is what tests draw from: a point that it lacks would never be tried.
    #[test]
    fn the_list_is_complete() {
        let sources = [
            include_str!("batches.rs"),
            include_str!("blocks.rs"),
            include_str!("deposits.rs"),
            include_str!("intents.rs"),
            include_str!("proofs.rs"),
        ];
        let mut there: Vec<&str> = sources
            .iter()
            .flat_map(|s| s.split("hit(\"").skip(1))
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let mut listed = FAIL_POINTS.to_vec();
        there.sort_unstable();
        listed.sort_unstable();
        assert_eq!(there, listed);
    }
}
