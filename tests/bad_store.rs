//! A store file that cannot be read, cannot be written, or has no room: what the sequencer says, and that nothing is
//! lost. How single files are damaged is tested in the store's own crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::{os::unix::fs::PermissionsExt, path::Path};

use common::{World, address, all_healthy, component, ether, run, until};
use ensemble::{StartError, config::StoreLocation, supervision::ComponentState};
use ensemble_error::{Classify, Severity};
use ensemble_store::{Store, StoreError};

/// Whether permissions stop us: they do not stop root.
fn permissions_count(folder: &Path) -> bool {
    let probe = folder.join("probe");
    std::fs::write(&probe, []).unwrap();
    std::fs::set_permissions(&probe, std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::File::options().write(true).open(&probe).is_err()
}

/// Every unusable store is refused before anything runs, by an error that says what to do, and is left as it was; with
/// the good one back the sequencer goes on where it was.
#[test]
fn an_unusable_store_is_refused_and_left_alone() {
    run(async {
        let mut world = World::start(|_| {}).await;
        let sequencer = world.sequencer().await;
        world.deposit(address("user"), ether(3)).await;
        world.arrived(address("user")).await;
        world.stop(&sequencer).await;
        let right = world.config.clone();
        let file = right.store.url.sqlite_path().unwrap().to_owned();
        let good = std::fs::read(&file).unwrap();
        let head = world.l2_head().await;

        // Noise, a torn copy, and a head that is not SQLite's.
        let mut headless = good.clone();
        headless[..100].fill(0x55);
        for bytes in [vec![0xa5; 64 << 10], good[..good.len() / 3].to_vec(), headless] {
            let path = world.folder.path().join("damaged.db");
            std::fs::write(&path, &bytes).unwrap();
            world.config.store.url = StoreLocation::sqlite(&path);
            let error = world.refused().await;
            let StartError::Store(error) = error else { panic!("{error:?}") };
            assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
            assert_eq!(error.severity(), Severity::Fatal);
            let text = error.to_string();
            assert!(text.contains("restore a backup") && text.contains("ensemble repair"), "{text}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "left as it was");
            std::fs::remove_file(&path).unwrap();
        }

        // A folder in place of the file.
        world.config.store.url = StoreLocation::sqlite(world.folder.path());
        let error = world.refused().await;
        assert!(matches!(error, StartError::Store(StoreError::CannotOpen { .. })), "{error:?}");

        if permissions_count(world.folder.path()) {
            let locked = world.folder.path().join("locked");
            std::fs::create_dir(&locked).unwrap();
            let copy = locked.join("copy.db");
            std::fs::write(&copy, &good).unwrap();
            std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o444)).unwrap();
            world.config.store.url = StoreLocation::sqlite(&copy);
            let error = world.refused().await;
            assert!(matches!(error, StartError::Store(StoreError::ReadOnly { .. })), "{error:?}");
            std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
            world.config.store.url = StoreLocation::sqlite(locked.join("new.db"));
            let error = world.refused().await;
            assert!(matches!(error, StartError::Store(StoreError::CannotOpen { .. })), "{error:?}");
            std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o755)).unwrap();
        } else {
            eprintln!("not tried: files that may not be written, as permissions do not stop this user");
        }

        world.config = right;
        assert_eq!(world.l2_head().await, head, "nothing was started");
        let sequencer = world.sequencer().await;
        world.deposit(address("later"), ether(5)).await;
        assert_eq!(world.arrived(address("later")).await, ether(5));
        world.stop(&sequencer).await;
        let books = world.books().await;
        assert_eq!(books.deposits, 2);
    });
}

/// SEQ-INV-1, SEQ-INV-3, SEQ-INV-4, SEQ-INV-8: the disk is full while the sequencer runs. What needs to write is degraded
/// and says why, nothing fails, and when there is room again everything goes on, with nothing lost that was acknowledged.
#[test]
fn a_full_disk_is_waited_for() {
    run(async {
        let world = World::start(|_| {}).await;
        let prover = world.prover();
        let sequencer = world.sequencer().await;
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(3_000)).await;
        world.arrived(user.address()).await;
        world.verified_up_to(1).await;

        let store: &Store = &sequencer.services().store;
        store.set_size_limit(Some(1)).await.unwrap();
        let reason = until("a degraded block producer", async || {
            match component(&sequencer, "block_producer").state {
                ComponentState::Degraded(reason) => Some(reason),
                _ => None,
            }
        })
        .await;
        assert!(reason.contains("no room"), "{reason}");
        // A deposit on L1 meanwhile.
        world.deposit(address("meanwhile"), ether(5)).await;

        store.set_size_limit(None).await.unwrap();
        all_healthy(&sequencer).await;
        assert_eq!(world.arrived(address("meanwhile")).await, ether(5));
        world.transfers(&user, "after", 5).await;
        let withdrawn = world.withdraw(&user, address("on L1"), ether(500)).await;
        world.claim(&sequencer, &withdrawn).await;
        for status in sequencer.status() {
            assert_eq!((status.failures, status.restarts), (0, 0), "{status:?}");
        }
        store.check_file().await.unwrap();
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
        let books = world.books().await;
        assert_eq!(books.deposits, 2);
    });
}
