//! What the devnet prints: one line per event.

use alloy_primitives::{Address, B256, U256};

/// Prints one line. The devnet's output is for people; its log file is for programs.
#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
pub(crate) fn line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// One line for one event: what kind, then the details.
pub(crate) fn event(kind: &str, text: impl AsRef<str>) {
    line(format!("  {kind:<10} {}", text.as_ref()));
}

/// `0x1234…cdef`.
pub(crate) fn short(hash: &B256) -> String {
    let text = hash.to_string();
    format!("{}…{}", &text[..8], &text[text.len() - 6..])
}

/// `0x1234…cdef`.
pub(crate) fn short_address(address: &Address) -> String {
    let text = address.to_string();
    format!("{}…{}", &text[..8], &text[text.len() - 4..])
}

/// Wei as ETH, exact, without trailing zeros.
pub(crate) fn eth(wei: U256) -> String {
    let unit = U256::from(1_000_000_000_000_000_000u64);
    let (whole, rest) = wei.div_rem(unit);
    if rest.is_zero() {
        return format!("{whole} ETH");
    }
    let rest = format!("{rest:0>18}");
    format!("{whole}.{} ETH", rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ether_is_exact() {
        assert_eq!(eth(U256::from(1_500_000_000_000_000_000u64)), "1.5 ETH");
        assert_eq!(eth(U256::from(1)), "0.000000000000000001 ETH");
        assert_eq!(eth(U256::from(10).pow(U256::from(19))), "10 ETH");
    }
}
