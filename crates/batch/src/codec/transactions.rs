//! Transactions in columns; [`super`] says which.

use alloy_primitives::{Address, Bytes};

use super::{
    CodecError,
    read::Reader,
    transaction::{AccessItem, Authorization, Decimal, Kind, MAX_LEGACY_CHAIN_ID, Signature, Transaction},
};

/// Kind of a transaction that is stored as its encoding.
const RAW: u8 = 0xff;

/// Bytes that each transaction counts besides its encoding in the limit of decoded bytes.
pub(super) const TRANSACTION_OVERHEAD: usize = 64;

/// Bytes of a word of call data.
const WORD: usize = 32;
/// Bytes of a selector in front of the words.
const SELECTOR: usize = 4;

/// Flag in the exponent of a decimal: its mantissa is a word of 8 bytes in the plain part.
const WIDE: u8 = 0x80;

/// Mantissas with the flag [`WIDE`]: as uints they would take 9 or 10 bytes, of which no compression finds more than the
/// flag bits.
const WIDE_MANTISSAS: std::ops::RangeInclusive<u128> = 1 << 56..=u64::MAX as u128;

/// How a word of call data is stored.
mod word {
    /// A number of at most 128 bits, as decimal mantissa and exponent.
    pub(super) const NUMBER: u8 = 0;
    /// A number of more than 128 and at most 160 bits: an address of the segment.
    pub(super) const ADDRESS: u8 = 1;
    /// Anything else: its 32 bytes.
    pub(super) const BYTES: u8 = 2;
}

/// Lengths of the parts of call data: selector, words, and what is behind them. What creates a contract has no words.
fn parts_of(data_len: usize, call: bool) -> (bool, usize, usize) {
    if !call || data_len < SELECTOR {
        return (false, 0, data_len);
    }
    let arguments = data_len - SELECTOR;
    (true, arguments / WORD, arguments % WORD)
}

/// References to the addresses of a segment.
struct References {
    /// Addresses that were named so far.
    new: usize,
}

impl References {
    /// Index of the address that a reference names: 0 is one that was not named before.
    fn index(&mut self, reference: u64, what: &'static str) -> Result<usize, CodecError> {
        match usize::try_from(reference).ok().map(|r| r.checked_sub(1)) {
            Some(None) => {
                self.new += 1;
                Ok(self.new - 1)
            }
            Some(Some(index)) if index < self.new => Ok(index),
            _ => Err(CodecError::OutOfRange(what)),
        }
    }

    fn indices(
        &mut self,
        references: Vec<u64>,
        what: &'static str,
    ) -> Result<std::vec::IntoIter<usize>, CodecError> {
        let all: Result<Vec<_>, _> = references.into_iter().map(|r| self.index(r, what)).collect();
        Ok(all?.into_iter())
    }
}

/// Takes the next value of a column that was read with as many values as are taken.
fn next<T>(column: &mut impl Iterator<Item = T>, what: &'static str) -> Result<T, CodecError> {
    column.next().ok_or(CodecError::Truncated(what))
}

/// The transactions of `n` blocks, from the two parts of a segment. The budget is of decoded bytes, each transaction
/// with [`TRANSACTION_OVERHEAD`] more.
pub(super) fn read(
    r: &mut Reader<'_>,
    plain: &mut Reader<'_>,
    n: usize,
    budget: &mut Budget,
) -> Result<Vec<Vec<Bytes>>, CodecError> {
    const WHAT: &str = "transactions";
    let (counts, total) = r.counts(n, 1, WHAT)?;
    budget.take(total.saturating_mul(TRANSACTION_OVERHEAD))?;
    let kinds: Vec<Option<Kind>> = r
        .bytes(total, "transaction type")?
        .iter()
        .map(|byte| match *byte {
            RAW => Ok(None),
            byte => Kind::from_byte(byte).map(Some).ok_or(CodecError::NonCanonical("transaction type")),
        })
        .collect::<Result<_, _>>()?;
    let mut raw = read_raw(r, kinds.iter().filter(|kind| kind.is_none()).count(), budget)?.into_iter();
    let kinds_in_columns: Vec<Kind> = kinds.iter().copied().flatten().collect();
    let mut columns = Columns::read(r, plain, &kinds_in_columns, budget)?;

    let mut kinds = kinds.into_iter();
    let mut rows = Vec::with_capacity(n);
    for count in counts {
        let mut row = Vec::with_capacity(count);
        for kind in kinds.by_ref().take(count) {
            row.push(match kind {
                None => next(&mut raw, WHAT)?,
                Some(kind) => columns.next(kind, budget)?,
            });
        }
        rows.push(row);
    }
    Ok(rows)
}

fn read_raw(r: &mut Reader<'_>, count: usize, budget: &mut Budget) -> Result<Vec<Bytes>, CodecError> {
    const WHAT: &str = "raw transaction";
    let lengths = r.uints(count, WHAT)?;
    let mut all = Vec::with_capacity(count);
    for length in lengths {
        if length == 0 {
            return Err(CodecError::NonCanonical(WHAT));
        }
        let bytes = r.string(length, WHAT)?;
        budget.take(bytes.len())?;
        if Transaction::split(&bytes).is_some() {
            return Err(CodecError::NonCanonical(WHAT));
        }
        all.push(bytes);
    }
    Ok(all)
}

/// How many more bytes a payload may have.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) left: usize,
    pub(super) limit: usize,
}

impl Budget {
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), CodecError> {
        self.left = self.left.checked_sub(bytes).ok_or(CodecError::TooLarge { limit: self.limit })?;
        Ok(())
    }
}

type Column<T> = std::vec::IntoIter<T>;

/// The columns of a segment, from which one transaction after the other is taken.
struct Columns {
    addresses: Vec<[u8; 20]>,
    chain_ids: Column<u64>,
    nonces: Column<u64>,
    gas_limits: Column<u64>,
    /// Without the tip.
    fees: Column<u64>,
    tips: Column<u64>,
    to: Column<Option<usize>>,
    values: Column<Decimal>,
    data_lengths: Column<usize>,
    selectors: Column<[u8; SELECTOR]>,
    word_forms: Column<u8>,
    word_numbers: Column<Decimal>,
    word_addresses: Column<usize>,
    word_bytes: Column<[u8; WORD]>,
    data_rest: Bytes,
    rest_at: usize,
    access_counts: Column<usize>,
    access_addresses: Column<usize>,
    key_counts: Column<usize>,
    keys: Column<[u8; 32]>,
    authorization_counts: Column<usize>,
    authorization_chain_ids: Column<u64>,
    authorization_addresses: Column<usize>,
    authorization_nonces: Column<u64>,
    signatures: Column<Signature>,
    authorization_signatures: Column<Signature>,
    data: Vec<u8>,
}

impl Columns {
    fn read(
        r: &mut Reader<'_>,
        plain: &mut Reader<'_>,
        kinds: &[Kind],
        budget: &mut Budget,
    ) -> Result<Self, CodecError> {
        let t = kinds.len();
        let mut references = References { new: 0 };
        let chain_ids = r.deltas(t, "chainId")?;
        let nonces = r.uints(t, "nonce")?;
        let gas_limits = r.uints(t, "gasLimit of a transaction")?;
        let fees = r.uints(t, "maxFeePerGas")?;
        let tips = r.uints(kinds.iter().filter(|kind| kind.has_tip()).count(), "maxPriorityFeePerGas")?;
        let to = r
            .uints(t, "to")?
            .into_iter()
            .map(|reference| match reference.checked_sub(1) {
                None => Ok(None),
                Some(reference) => references.index(reference, "to").map(Some),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let values = decimals(r, plain, t, "value")?;

        const DATA: &str = "data";
        let (data_lengths, data_total) = r.sizes(t, DATA)?;
        budget.take(data_total)?;
        let (mut selectors, mut words, mut rest) = (0usize, 0usize, 0usize);
        for (length, to) in data_lengths.iter().zip(&to) {
            let (selector, of_words, of_rest) = parts_of(*length, to.is_some());
            selectors += usize::from(selector);
            words += of_words;
            rest += of_rest;
        }
        let selectors = r.words::<SELECTOR>(selectors, DATA)?;
        let word_forms = r.bytes(words, DATA)?.to_vec();
        let count = |form| word_forms.iter().filter(|f| **f == form).count();
        if word_forms.iter().any(|form| *form > word::BYTES) {
            return Err(CodecError::NonCanonical(DATA));
        }
        let word_numbers = decimals(r, plain, count(word::NUMBER), DATA)?;
        let word_addresses = references.indices(r.uints(count(word::ADDRESS), DATA)?, DATA)?;
        let word_bytes = r.words::<WORD>(count(word::BYTES), DATA)?;
        let data_rest = r.string(rest as u64, DATA)?;

        const ACCESS: &str = "accessList";
        let with_list = kinds.iter().filter(|kind| kind.has_access_list()).count();
        let (access_counts, items) = r.counts(with_list, 2, ACCESS)?;
        let access_addresses = references.indices(r.uints(items, ACCESS)?, ACCESS)?;
        let (key_counts, keys) = r.counts(items, 32, ACCESS)?;
        let keys = r.words::<32>(keys, ACCESS)?;

        const AUTHORIZATION: &str = "authorizationList";
        let set_code = kinds.iter().filter(|kind| **kind == Kind::SetCode).count();
        let (authorization_counts, authorizations) = r.counts(set_code, 3, AUTHORIZATION)?;
        let authorization_chain_ids = r.deltas(authorizations, AUTHORIZATION)?;
        let authorization_addresses =
            references.indices(r.uints(authorizations, AUTHORIZATION)?, AUTHORIZATION)?;
        let authorization_nonces = r.uints(authorizations, AUTHORIZATION)?;

        let addresses = plain.words::<20>(references.new, "addresses")?;
        let mut sorted = addresses.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(CodecError::NonCanonical("addresses"));
        }
        let signatures = signatures(plain, t)?;
        let authorization_signatures = self::signatures(plain, authorizations)?;
        Ok(Self {
            addresses,
            chain_ids: chain_ids.into_iter(),
            nonces: nonces.into_iter(),
            gas_limits: gas_limits.into_iter(),
            fees: fees.into_iter(),
            tips: tips.into_iter(),
            to: to.into_iter(),
            values: values.into_iter(),
            data_lengths: data_lengths.into_iter(),
            selectors: selectors.into_iter(),
            word_forms: word_forms.into_iter(),
            word_numbers: word_numbers.into_iter(),
            word_addresses,
            word_bytes: word_bytes.into_iter(),
            data_rest,
            rest_at: 0,
            access_counts: access_counts.into_iter(),
            access_addresses,
            key_counts: key_counts.into_iter(),
            keys: keys.into_iter(),
            authorization_counts: authorization_counts.into_iter(),
            authorization_chain_ids: authorization_chain_ids.into_iter(),
            authorization_addresses,
            authorization_nonces: authorization_nonces.into_iter(),
            signatures: signatures.into_iter(),
            authorization_signatures: authorization_signatures.into_iter(),
            data: Vec::new(),
        })
    }

    fn address(&self, index: usize) -> Result<Address, CodecError> {
        self.addresses.get(index).map(Address::from).ok_or(CodecError::Truncated("addresses"))
    }

    fn next(&mut self, kind: Kind, budget: &mut Budget) -> Result<Bytes, CodecError> {
        let chain_id = next(&mut self.chain_ids, "chainId")?;
        if kind == Kind::Legacy && chain_id > MAX_LEGACY_CHAIN_ID {
            return Err(CodecError::OutOfRange("chainId"));
        }
        let to = next(&mut self.to, "to")?.map(|index| self.address(index)).transpose()?;
        let tip = if kind.has_tip() { next(&mut self.tips, "maxPriorityFeePerGas")? } else { 0 };
        let mut data = std::mem::take(&mut self.data);
        self.data_into(&mut data, to.is_some())?;
        let transaction = Transaction {
            kind,
            chain_id,
            nonce: next(&mut self.nonces, "nonce")?,
            gas_limit: next(&mut self.gas_limits, "gasLimit of a transaction")?,
            max_fee: next(&mut self.fees, "maxFeePerGas")?.wrapping_add(tip),
            tip,
            to,
            value: next(&mut self.values, "value")?,
            data: &data,
            access_list: if kind.has_access_list() { self.access_list()? } else { Vec::new() },
            authorizations: if kind == Kind::SetCode { self.authorizations()? } else { Vec::new() },
            signature: next(&mut self.signatures, "signatures")?,
        };
        let encoded = transaction.encode();
        // the call data is counted already
        budget.take(encoded.len() - data.len())?;
        self.data = data;
        Ok(encoded.into())
    }

    fn data_into(&mut self, data: &mut Vec<u8>, call: bool) -> Result<(), CodecError> {
        const WHAT: &str = "data";
        data.clear();
        let (selector, words, rest) = parts_of(next(&mut self.data_lengths, WHAT)?, call);
        if selector {
            data.extend_from_slice(&next(&mut self.selectors, WHAT)?);
        }
        for _ in 0..words {
            match next(&mut self.word_forms, WHAT)? {
                word::NUMBER => {
                    let number = next(&mut self.word_numbers, WHAT)?.to_u128();
                    data.extend_from_slice(&[0; 16]);
                    data.extend_from_slice(&number.ok_or(CodecError::OutOfRange(WHAT))?.to_be_bytes());
                }
                word::ADDRESS => {
                    let index = next(&mut self.word_addresses, WHAT)?;
                    let address = self.address(index)?;
                    if address[..4] == [0; 4] {
                        return Err(CodecError::NonCanonical(WHAT));
                    }
                    data.extend_from_slice(&[0; 12]);
                    data.extend_from_slice(address.as_slice());
                }
                _ => {
                    let bytes = next(&mut self.word_bytes, WHAT)?;
                    if bytes[..12] == [0; 12] {
                        return Err(CodecError::NonCanonical(WHAT));
                    }
                    data.extend_from_slice(&bytes);
                }
            }
        }
        let end = self.rest_at + rest;
        data.extend_from_slice(self.data_rest.get(self.rest_at..end).ok_or(CodecError::Truncated(WHAT))?);
        self.rest_at = end;
        Ok(())
    }

    fn access_list(&mut self) -> Result<Vec<AccessItem>, CodecError> {
        const WHAT: &str = "accessList";
        let count = next(&mut self.access_counts, WHAT)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            let index = next(&mut self.access_addresses, WHAT)?;
            let keys = next(&mut self.key_counts, WHAT)?;
            let keys = self.keys.by_ref().take(keys).collect();
            items.push(AccessItem { address: self.address(index)?, keys });
        }
        Ok(items)
    }

    fn authorizations(&mut self) -> Result<Vec<Authorization>, CodecError> {
        const WHAT: &str = "authorizationList";
        let count = next(&mut self.authorization_counts, WHAT)?;
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let index = next(&mut self.authorization_addresses, WHAT)?;
            all.push(Authorization {
                chain_id: next(&mut self.authorization_chain_ids, WHAT)?,
                address: self.address(index)?,
                nonce: next(&mut self.authorization_nonces, WHAT)?,
                signature: next(&mut self.authorization_signatures, WHAT)?,
            });
        }
        Ok(all)
    }
}

fn decimals(
    r: &mut Reader<'_>,
    plain: &mut Reader<'_>,
    count: usize,
    what: &'static str,
) -> Result<Vec<Decimal>, CodecError> {
    let exponents = r.bytes(count, what)?.to_vec();
    exponents
        .into_iter()
        .map(|exponent| {
            let wide = exponent & WIDE != 0;
            let mantissa =
                if wide { u64::from_be_bytes(plain.word(what)?).into() } else { r.wide_uint(what)? };
            let decimal = Decimal { mantissa, exponent: exponent & !WIDE };
            if !decimal.is_canonical() || WIDE_MANTISSAS.contains(&mantissa) != wide {
                return Err(CodecError::NonCanonical(what));
            }
            decimal.to_u256().map(|_| decimal).ok_or(CodecError::OutOfRange(what))
        })
        .collect()
}

fn signatures(plain: &mut Reader<'_>, count: usize) -> Result<Vec<Signature>, CodecError> {
    const WHAT: &str = "signatures";
    let r = plain.words::<32>(count, WHAT)?;
    let s = plain.words::<32>(count, WHAT)?;
    Ok(r.into_iter().zip(s).map(|(r, s)| Signature::from_compact(r, s)).collect())
}

#[cfg(feature = "encode")]
pub(super) use write::{bound, write};

#[cfg(feature = "encode")]
mod write {
    use std::collections::HashMap;

    use super::*;
    use crate::{
        SealedBlock,
        codec::write::{put_deltas, put_uint, put_uints, uint_len},
    };

    /// Most bytes of a reference to an address, with the address.
    const ADDRESS_BOUND: usize = 5 + 20;
    /// Most bytes of a delta.
    const DELTA_BOUND: usize = 10;

    #[derive(Default)]
    struct Table {
        indices: HashMap<Address, u64>,
        all: Vec<Address>,
    }

    impl Table {
        fn reference(&mut self, address: &Address) -> u64 {
            if let Some(index) = self.indices.get(address) {
                return index + 1;
            }
            self.indices.insert(*address, self.all.len() as u64);
            self.all.push(*address);
            0
        }
    }

    fn words_of<'a>(tx: &Transaction<'a>) -> (&'a [u8], &'a [[u8; WORD]], &'a [u8]) {
        let (selector, ..) = parts_of(tx.data.len(), tx.to.is_some());
        let (selector, arguments) = tx.data.split_at(if selector { SELECTOR } else { 0 });
        if selector.is_empty() {
            return (selector, &[], arguments);
        }
        let (words, rest) = arguments.as_chunks();
        (selector, words, rest)
    }

    fn form_of(word: &[u8; WORD]) -> u8 {
        if word[..16] == [0; 16] {
            word::NUMBER
        } else if word[..12] == [0; 12] {
            word::ADDRESS
        } else {
            word::BYTES
        }
    }

    fn number_of(word: &[u8; WORD]) -> Decimal {
        let mut low = [0; 16];
        low.copy_from_slice(&word[16..]);
        Decimal::from_u128(u128::from_be_bytes(low))
    }

    /// Upper bound of what a transaction adds to a segment, not below what it counts when it is decoded.
    pub(in crate::codec) fn bound(encoded: &[u8]) -> usize {
        let decoded = encoded.len() + TRANSACTION_OVERHEAD;
        let Some(tx) = Transaction::split(encoded) else { return decoded };
        let (selector, words, rest) = words_of(&tx);
        let words: usize = words
            .iter()
            .map(|word| match form_of(word) {
                word::NUMBER => 2 + uint_len(number_of(word).mantissa),
                word::ADDRESS => 1 + ADDRESS_BOUND,
                _ => 1 + WORD,
            })
            .sum();
        let access: usize = tx.access_list.iter().map(|i| ADDRESS_BOUND + 5 + 32 * i.keys.len()).sum();
        let authorizations = tx.authorizations.len() * (2 * DELTA_BOUND + ADDRESS_BOUND + 64);
        let fields = 1
            + DELTA_BOUND
            + uint_len(tx.nonce)
            + uint_len(tx.gas_limit)
            + uint_len(tx.max_fee.wrapping_sub(tx.tip))
            + uint_len(tx.tip)
            + ADDRESS_BOUND
            + 1
            + uint_len(tx.value.mantissa)
            + 5
            + selector.len()
            + words
            + rest.len()
            + 5
            + access
            + 5
            + authorizations
            + 64;
        decoded.max(fields)
    }

    /// The mantissa, when it has the flag [`WIDE`].
    fn wide(number: &Decimal) -> Option<u64> {
        u64::try_from(number.mantissa).ok().filter(|_| WIDE_MANTISSAS.contains(&number.mantissa))
    }

    fn put_decimals(out: &mut Vec<u8>, plain: &mut Vec<u8>, numbers: impl Iterator<Item = Decimal> + Clone) {
        let flag = |number: &Decimal| if wide(number).is_some() { WIDE } else { 0 };
        out.extend(numbers.clone().map(|number| number.exponent | flag(&number)));
        for number in numbers {
            match wide(&number) {
                Some(mantissa) => plain.extend_from_slice(&mantissa.to_be_bytes()),
                None => put_uint(out, number.mantissa),
            }
        }
    }

    fn put_signatures<'a>(plain: &mut Vec<u8>, signatures: impl Iterator<Item = &'a Signature> + Clone) {
        signatures.clone().for_each(|signature| plain.extend_from_slice(&signature.r));
        signatures.for_each(|signature| plain.extend_from_slice(&signature.compact_s()));
    }

    /// Puts the transactions of these blocks behind what is in the two parts of a segment.
    pub(in crate::codec) fn write(blocks: &[SealedBlock], out: &mut Vec<u8>, plain: &mut Vec<u8>) {
        put_uints(out, blocks.iter().map(|b| b.transactions.len() as u64));
        let all = || blocks.iter().flat_map(|b| &b.transactions);
        let split: Vec<Option<Transaction<'_>>> = all().map(|tx| Transaction::split(tx)).collect();
        out.extend(split.iter().map(|tx| tx.as_ref().map_or(RAW, |tx| tx.kind as u8)));
        let raw = || all().zip(&split).filter(|(_, split)| split.is_none()).map(|(tx, _)| tx);
        put_uints(out, raw().map(|tx| tx.len() as u64));
        raw().for_each(|tx| out.extend_from_slice(tx));

        let mut table = Table::default();
        let txs = || split.iter().flatten();
        put_deltas(out, txs().map(|tx| tx.chain_id));
        put_uints(out, txs().map(|tx| tx.nonce));
        put_uints(out, txs().map(|tx| tx.gas_limit));
        put_uints(out, txs().map(|tx| tx.max_fee.wrapping_sub(tx.tip)));
        put_uints(out, txs().filter(|tx| tx.kind.has_tip()).map(|tx| tx.tip));
        put_uints(out, txs().map(|tx| tx.to.as_ref().map_or(0, |to| table.reference(to) + 1)));
        put_decimals(out, plain, txs().map(|tx| tx.value));

        put_uints(out, txs().map(|tx| tx.data.len() as u64));
        txs().for_each(|tx| out.extend_from_slice(words_of(tx).0));
        let words = || txs().flat_map(|tx| words_of(tx).1);
        let of_form = |form| words().filter(move |word| form_of(word) == form);
        out.extend(words().map(form_of));
        put_decimals(out, plain, of_form(word::NUMBER).map(number_of));
        put_uints(out, of_form(word::ADDRESS).map(|word| table.reference(&Address::from_slice(&word[12..]))));
        of_form(word::BYTES).for_each(|word| out.extend_from_slice(word));
        txs().for_each(|tx| out.extend_from_slice(words_of(tx).2));

        put_uints(out, txs().filter(|tx| tx.kind.has_access_list()).map(|tx| tx.access_list.len() as u64));
        let items = || txs().flat_map(|tx| &tx.access_list);
        put_uints(out, items().map(|item| table.reference(&item.address)));
        put_uints(out, items().map(|item| item.keys.len() as u64));
        items().flat_map(|item| &item.keys).for_each(|key| out.extend_from_slice(key));

        put_uints(out, txs().filter(|tx| tx.kind == Kind::SetCode).map(|tx| tx.authorizations.len() as u64));
        let authorizations = || txs().flat_map(|tx| &tx.authorizations);
        put_deltas(out, authorizations().map(|a| a.chain_id));
        put_uints(out, authorizations().map(|a| table.reference(&a.address)));
        put_uints(out, authorizations().map(|a| a.nonce));

        table.all.iter().for_each(|address| plain.extend_from_slice(address.as_slice()));
        put_signatures(plain, txs().map(|tx| &tx.signature));
        put_signatures(plain, authorizations().map(|a| &a.signature));
    }
}
