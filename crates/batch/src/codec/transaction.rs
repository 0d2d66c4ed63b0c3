//! Fields of a signed transaction, and its EIP-2718 encoding made of them.

use alloy_primitives::{Address, U256};
use alloy_rlp::{Decodable, Encodable, Header};

/// How a transaction is encoded. The numbers stand in payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Before EIP-2718, with or without the chain id of EIP-155.
    Legacy = 0,
    /// EIP-2930.
    AccessList = 1,
    /// EIP-1559.
    DynamicFee = 2,
    /// EIP-7702.
    SetCode = 4,
}

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Legacy, Self::AccessList, Self::DynamicFee, Self::SetCode]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    /// Whether it has a priority fee; what it has else is a gas price, which stands for [`Transaction::max_fee`].
    pub(super) fn has_tip(self) -> bool {
        matches!(self, Self::DynamicFee | Self::SetCode)
    }

    pub(super) fn has_access_list(self) -> bool {
        self != Self::Legacy
    }
}

/// An entry of an access list (EIP-2930).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccessItem {
    pub(super) address: Address,
    pub(super) keys: Vec<[u8; 32]>,
}

/// A signature; `r` and `s` big endian, `s` below 2^255, as that of every valid one is (EIP-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) odd_y: bool,
    pub(super) r: [u8; 32],
    pub(super) s: [u8; 32],
}

impl Signature {
    const ODD_Y: u8 = 0x80;

    /// Of the compact form (EIP-2098): the y parity is the highest bit of `s`.
    pub(super) fn from_compact(r: [u8; 32], mut s: [u8; 32]) -> Self {
        let odd_y = s[0] & Self::ODD_Y != 0;
        s[0] &= !Self::ODD_Y;
        Self { odd_y, r, s }
    }

    /// `yParityAndS` of EIP-2098.
    #[cfg(feature = "encode")]
    pub(super) fn compact_s(&self) -> [u8; 32] {
        let mut s = self.s;
        s[0] |= if self.odd_y { Self::ODD_Y } else { 0 };
        s
    }
}

/// A signed authorization (EIP-7702).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authorization {
    pub(super) chain_id: u64,
    pub(super) address: Address,
    pub(super) nonce: u64,
    pub(super) signature: Signature,
}

/// A transaction that has a place in the columns: [`Self::encode`] gives back the bytes that [`Self::split`] took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transaction<'a> {
    pub(super) kind: Kind,
    /// 0 in a legacy transaction: it has none.
    pub(super) chain_id: u64,
    pub(super) nonce: u64,
    pub(super) gas_limit: u64,
    /// `maxFeePerGas` or `gasPrice`, wei.
    pub(super) max_fee: u64,
    /// `maxPriorityFeePerGas`, wei; 0 where the kind has none.
    pub(super) tip: u64,
    /// None: it creates a contract.
    pub(super) to: Option<Address>,
    /// Wei.
    pub(super) value: Decimal,
    pub(super) data: &'a [u8],
    pub(super) access_list: Vec<AccessItem>,
    pub(super) authorizations: Vec<Authorization>,
    pub(super) signature: Signature,
}

/// A number as `mantissa` × 10^`exponent` with the largest exponent; zero has exponent 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) mantissa: u128,
    pub(super) exponent: u8,
}

impl Decimal {
    pub(super) fn from_u128(mut number: u128) -> Self {
        let mut exponent = 0;
        while number != 0 && number.is_multiple_of(10) {
            number /= 10;
            exponent += 1;
        }
        Self { mantissa: number, exponent }
    }

    /// None when the mantissa has more than 128 bits.
    pub(super) fn from_u256(number: U256) -> Option<Self> {
        if let Ok(small) = u128::try_from(number) {
            return Some(Self::from_u128(small));
        }
        let (mut number, mut exponent) = (number, 0u8);
        loop {
            let (quotient, digit) = number.div_rem(U256::from(10));
            if !digit.is_zero() {
                return None;
            }
            (number, exponent) = (quotient, exponent + 1);
            if let Ok(small) = u128::try_from(number) {
                let rest = Self::from_u128(small);
                return Some(Self { exponent: exponent + rest.exponent, ..rest });
            }
        }
    }

    /// Whether it is the only form of its number.
    pub(super) fn is_canonical(self) -> bool {
        if self.mantissa == 0 { self.exponent == 0 } else { !self.mantissa.is_multiple_of(10) }
    }

    /// None above 128 bits.
    pub(super) fn to_u128(self) -> Option<u128> {
        10u128.checked_pow(u32::from(self.exponent))?.checked_mul(self.mantissa)
    }

    /// None above 256 bits.
    pub(super) fn to_u256(self) -> Option<U256> {
        if let Some(small) = self.to_u128() {
            return Some(U256::from(small));
        }
        U256::from(10).checked_pow(U256::from(self.exponent))?.checked_mul(U256::from(self.mantissa))
    }
}

/// Highest chain id that the `v` of a legacy transaction holds in 64 bits (EIP-155).
pub(super) const MAX_LEGACY_CHAIN_ID: u64 = (u64::MAX - 36) / 2;

impl<'a> Transaction<'a> {
    /// The fields of an encoded transaction. None when it is of another type, malformed, or has a number above what
    /// the fields hold.
    pub(super) fn split(encoded: &'a [u8]) -> Option<Self> {
        let transaction = Self::parse(encoded).ok()?;
        // Whatever the parser lets pass: only what comes back as it was has a place in the columns.
        (transaction.encode() == encoded).then_some(transaction)
    }

    fn parse(encoded: &'a [u8]) -> alloy_rlp::Result<Self> {
        let (kind, mut list) = match encoded.split_first() {
            Some((0xc0.., _)) => (Kind::Legacy, encoded),
            Some((byte, rest)) => match Kind::from_byte(*byte) {
                None | Some(Kind::Legacy) => return Err(alloy_rlp::Error::Custom("another type")),
                Some(kind) => (kind, rest),
            },
            None => return Err(alloy_rlp::Error::InputTooShort),
        };
        let r = &mut Header::decode_bytes(&mut list, true)?;
        let mut chain_id = if kind == Kind::Legacy { 0 } else { u64::decode(r)? };
        let nonce = u64::decode(r)?;
        let tip = if kind.has_tip() { u64::decode(r)? } else { 0 };
        let max_fee = u64::decode(r)?;
        let gas_limit = u64::decode(r)?;
        let to = match Header::decode_bytes(r, false)? {
            [] => None,
            bytes => Some(Address::try_from(bytes).map_err(|_| alloy_rlp::Error::UnexpectedLength)?),
        };
        let value = Decimal::from_u256(U256::decode(r)?).ok_or(alloy_rlp::Error::Overflow)?;
        let data = Header::decode_bytes(r, false)?;
        let access_list = if kind.has_access_list() { parse_access_list(r)? } else { Vec::new() };
        let authorizations = if kind == Kind::SetCode { parse_authorizations(r)? } else { Vec::new() };
        let v = u64::decode(r)?;
        let odd_y = match (kind, v) {
            (Kind::Legacy, 27 | 28) => v == 28,
            // 35 and 36 would be chain id 0
            (Kind::Legacy, 37..) => {
                chain_id = (v - 35) / 2;
                (v - 35) % 2 == 1
            }
            (Kind::AccessList | Kind::DynamicFee | Kind::SetCode, 0 | 1) => v == 1,
            _ => return Err(alloy_rlp::Error::Custom("another v")),
        };
        let signature = parse_signature(odd_y, r)?;
        Ok(Self {
            kind,
            chain_id,
            nonce,
            gas_limit,
            max_fee,
            tip,
            to,
            value,
            data,
            access_list,
            authorizations,
            signature,
        })
    }

    /// Its EIP-2718 encoding.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(self.data.len() + 160);
        let out = &mut fields;
        if self.kind != Kind::Legacy {
            self.chain_id.encode(out);
        }
        self.nonce.encode(out);
        if self.kind.has_tip() {
            self.tip.encode(out);
        }
        self.max_fee.encode(out);
        self.gas_limit.encode(out);
        match &self.to {
            Some(address) => address.encode(out),
            None => [0u8; 0].as_slice().encode(out),
        }
        // a value that does not fit is never made: readers check it
        self.value.to_u256().unwrap_or_default().encode(out);
        self.data.encode(out);
        if self.kind.has_access_list() {
            encode_list(
                out,
                &self.access_list,
                |out, item| {
                    item.address.encode(out);
                    encode_list(out, &item.keys, |out, key| key.encode(out), false);
                },
                true,
            );
        }
        if self.kind == Kind::SetCode {
            encode_list(
                out,
                &self.authorizations,
                |out, authorization| {
                    authorization.chain_id.encode(out);
                    authorization.address.encode(out);
                    authorization.nonce.encode(out);
                    u64::from(authorization.signature.odd_y).encode(out);
                    encode_word(out, &authorization.signature.r);
                    encode_word(out, &authorization.signature.s);
                },
                true,
            );
        }
        let odd = u64::from(self.signature.odd_y);
        match (self.kind, self.chain_id) {
            (Kind::Legacy, 0) => (27 + odd).encode(out),
            (Kind::Legacy, id) => id.saturating_mul(2).saturating_add(35 + odd).encode(out),
            (Kind::AccessList | Kind::DynamicFee | Kind::SetCode, _) => odd.encode(out),
        }
        encode_word(out, &self.signature.r);
        encode_word(out, &self.signature.s);

        let header = Header { list: true, payload_length: fields.len() };
        let mut encoded = Vec::with_capacity(1 + header.length_with_payload());
        if self.kind != Kind::Legacy {
            encoded.push(self.kind as u8);
        }
        header.encode(&mut encoded);
        encoded.extend_from_slice(&fields);
        encoded
    }
}

/// A list; where `nested`, each item is a list again.
fn encode_list<T>(out: &mut Vec<u8>, items: &[T], encode: impl Fn(&mut Vec<u8>, &T), nested: bool) {
    let mut all = Vec::new();
    for item in items {
        if nested {
            let mut fields = Vec::new();
            encode(&mut fields, item);
            Header { list: true, payload_length: fields.len() }.encode(&mut all);
            all.extend_from_slice(&fields);
        } else {
            encode(&mut all, item);
        }
    }
    Header { list: true, payload_length: all.len() }.encode(out);
    out.extend_from_slice(&all);
}

fn encode_word(out: &mut Vec<u8>, word: &[u8; 32]) {
    U256::from_be_bytes(*word).encode(out);
}

fn parse_signature(odd_y: bool, list: &mut &[u8]) -> alloy_rlp::Result<Signature> {
    let (r, s) = (U256::decode(list)?, U256::decode(list)?);
    if s.bit(255) {
        return Err(alloy_rlp::Error::Overflow);
    }
    Ok(Signature { odd_y, r: r.to_be_bytes(), s: s.to_be_bytes() })
}

fn parse_access_list(r: &mut &[u8]) -> alloy_rlp::Result<Vec<AccessItem>> {
    let mut list = Header::decode_bytes(r, true)?;
    let mut items = Vec::new();
    while !list.is_empty() {
        let item = &mut Header::decode_bytes(&mut list, true)?;
        let address = Address::decode(item)?;
        let mut keys = Header::decode_bytes(item, true)?;
        let mut all = Vec::new();
        while !keys.is_empty() {
            all.push(<[u8; 32]>::decode(&mut keys)?);
        }
        items.push(AccessItem { address, keys: all });
    }
    Ok(items)
}

fn parse_authorizations(r: &mut &[u8]) -> alloy_rlp::Result<Vec<Authorization>> {
    let mut list = Header::decode_bytes(r, true)?;
    let mut all = Vec::new();
    while !list.is_empty() {
        let fields = &mut Header::decode_bytes(&mut list, true)?;
        let chain_id = u64::decode(fields)?;
        let address = Address::decode(fields)?;
        let nonce = u64::decode(fields)?;
        let odd_y = match u64::decode(fields)? {
            0 => false,
            1 => true,
            _ => return Err(alloy_rlp::Error::Custom("another y parity")),
        };
        let signature = parse_signature(odd_y, fields)?;
        all.push(Authorization { chain_id, address, nonce, signature });
    }
    Ok(all)
}
