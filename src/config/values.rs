//! Enumerations and units that only the configuration knows.

use std::fmt;
use std::str::FromStr;

/// When an L1 block is deep enough for its deposits to be included (SEQ-INV-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmations {
    /// At or below the L1's `safe` block.
    Safe,
    /// At or below the L1's `finalized` block.
    Finalized,
    /// That many blocks on top of it; 0 takes the newest block.
    Blocks(u64),
}

impl fmt::Display for Confirmations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safe => f.write_str("safe"),
            Self::Finalized => f.write_str("finalized"),
            Self::Blocks(blocks) => write!(f, "{blocks}"),
        }
    }
}

macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            pub(super) const CHOICES: &'static [(&'static str, Self)] = &[$(($text, Self::$variant),)+];

            /// The name in the configuration.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

choice! {
    /// Where the data of a batch is published.
    DataAvailability {
        /// In EIP-4844 blobs of the commit transaction.
        Blob = "blob",
        /// In the call data of the commit transaction.
        CallData = "calldata",
        /// In blobs, or in call data where that is cheaper.
        Auto = "auto",
        /// Nowhere (validium): L1 gets only the header.
        None = "none",
    }
}

choice! {
    /// Wire form of blob transactions.
    SidecarVersion {
        /// One KZG proof per blob (EIP-4844), for an L1 before Osaka.
        V0 = "0",
        /// Cell proofs (EIP-7594), for an L1 from Osaka on.
        V1 = "1",
    }
}

choice! {
    /// Who serves the execution witnesses.
    WitnessSource {
        /// The execution client, by `debug_executionWitness`.
        Client = "client",
        /// A second node in this process that executes every sealed block.
        Shadow = "shadow",
    }
}

choice! {
    /// How the SP1 backend proves.
    Sp1Prover {
        /// Without a proof, for tests.
        Mock = "mock",
        /// On the processor.
        Cpu = "cpu",
        /// On a GPU with CUDA.
        Cuda = "cuda",
    }
}

/// An amount per gas, written in gwei, kept in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gwei {
    wei: u128,
}

impl Gwei {
    /// From whole gwei.
    #[must_use]
    pub const fn new(gwei: u64) -> Self {
        Self { wei: gwei as u128 * 1_000_000_000 }
    }

    /// The amount in wei.
    #[must_use]
    pub fn wei(self) -> u128 {
        self.wei
    }
}

impl fmt::Display for Gwei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.wei / 1_000_000_000, self.wei % 1_000_000_000);
        if rest == 0 {
            write!(f, "{whole}")
        } else {
            write!(f, "{whole}.{}", format!("{rest:09}").trim_end_matches('0'))
        }
    }
}

impl FromStr for Gwei {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().replace('_', "");
        let (whole, rest) = text.split_once('.').unwrap_or((&text, "0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(rest) || rest.len() > 9 {
            return Err(());
        }
        let whole: u64 = whole.parse().map_err(|_| ())?;
        let rest: u128 = format!("{rest:0<9}").parse().map_err(|_| ())?;
        Ok(Self { wei: u128::from(whole) * 1_000_000_000 + rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gwei_are_exact() {
        for (text, wei, shown) in
            [("10", 10_000_000_000, "10"), ("0.000000001", 1, "0.000000001"), ("1.50", 1_500_000_000, "1.5")]
        {
            let gwei: Gwei = text.parse().unwrap_or(Gwei::new(0));
            assert_eq!((gwei.wei(), gwei.to_string().as_str()), (wei, shown));
        }
        for text in ["", ".", "1.", ".5", "-1", "1.0000000001", "1e3", "99999999999999999999", "NaN"] {
            assert_eq!(text.parse::<Gwei>(), Err(()), "{text}");
        }
    }
}
