//! The example does what the README says it does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

/// SEQ-INV-3 as an embedding program sees it: consecutive blocks, each told once, and a clean end. The build has
/// neither command line nor admin server nor prover.
#[test]
fn three_consecutive_blocks_and_a_clean_end() {
    let output = Command::new(env!("CARGO_BIN_EXE_custom_node")).output().expect("the example starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);

    let blocks: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("block ")?.split_whitespace().next()?.parse().ok())
        .collect();
    assert_eq!(blocks.len(), 3, "{text}");
    assert!(blocks.windows(2).all(|pair| pair[1] == pair[0] + 1), "{text}");
    for contract in ["OnChainProposer", "CommonBridge"] {
        assert!(text.contains(contract), "{contract} was not deployed:\n{text}");
    }
    assert_eq!(text.lines().last(), Some("stopped cleanly"), "{text}");
}

/// What the README shows is the code that runs.
#[test]
fn the_readme_shows_this_code() {
    let source = include_str!("../src/main.rs");
    let readme = include_str!("../../../README.md");
    let shown: Vec<&str> =
        readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!shown.is_empty(), "the README shows no Rust");
    for part in shown.iter().flat_map(|block| block.split("// …\n")) {
        assert!(source.contains(part.trim_matches('\n')), "the README differs from src/main.rs:\n{part}");
    }
}
