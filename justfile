# Shortcuts for those who use just; each is one cargo command. `cargo xtask --help` explains them.

# List the shortcuts.
default:
    @just --list

# What CI runs.
check *ARGS:
    cargo xtask check {{ARGS}}

# Format, lints, policy and documentation, without tests.
fast *ARGS:
    cargo xtask check --fast {{ARGS}}

# Contract tests, Rust tests, documentation tests.
test *ARGS:
    cargo xtask test {{ARGS}}

# Rebuild contracts/artifacts.
contracts *ARGS:
    cargo xtask contracts {{ARGS}}

# Gas of every L1 operation, by real transactions.
gas *ARGS:
    cargo xtask gas {{ARGS}}

# A whole sequencer with its L1 and L2 on this machine.
devnet *ARGS:
    cargo devnet {{ARGS}}

# Format everything.
fmt:
    cargo fmt --all
