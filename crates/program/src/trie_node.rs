//! The form of merkle patricia trie nodes (yellow paper, appendix D).
//!
//! ethrex' decoder panics on a child that is neither a hash nor a short node, so witnesses are looked through first.

use ethrex_rlp::structs::Decoder;

/// RLP of the empty string: "no child" in a branch, and the empty trie, which some clients put into witnesses.
const EMPTY: [u8; 1] = [0x80];
/// Bytes of a child that is given by its hash: RLP prefix and 32 bytes.
const HASH_ITEM: usize = 33;
/// A child below this many bytes is embedded instead of hashed.
const HASHED_FROM: usize = 32;

/// Whether the bytes have the form of a branch, an extension or a leaf, or are the empty trie.
pub(crate) fn is_well_formed(node: &[u8]) -> bool {
    if node == EMPTY {
        return true;
    }
    match items(node).as_deref() {
        Some([path, target]) => match path_flag(path) {
            Some(0 | 1) => is_child(target) && *target != EMPTY,
            Some(2 | 3) => is_string(target),
            _ => false,
        },
        Some([children @ .., value]) if children.len() == 16 => {
            children.iter().all(|child| is_child(child)) && is_string(value)
        }
        _ => false,
    }
}

/// The encoded items of an RLP list that ends with the input.
fn items(rlp: &[u8]) -> Option<Vec<&[u8]>> {
    let mut decoder = Decoder::new(rlp).ok()?;
    let mut items = Vec::new();
    while !decoder.is_done() {
        if items.len() == 17 {
            return None;
        }
        let (item, rest) = decoder.get_encoded_item_ref().ok()?;
        items.push(item);
        decoder = rest;
    }
    decoder.finish().ok()?.is_empty().then_some(items)
}

/// First nibble of a compact path: 0 and 1 are extensions, 2 and 3 leaves (odd numbers for odd lengths).
fn path_flag(item: &[u8]) -> Option<u8> {
    let first = match item {
        [single @ 0..=0x7f] => single,
        [0x81..=0xa1, first, ..] => first,
        _ => return None,
    };
    Some(first >> 4)
}

fn is_string(item: &[u8]) -> bool {
    item.first().is_some_and(|prefix| *prefix < 0xc0)
}

fn is_child(item: &[u8]) -> bool {
    let embedded = item.len() < HASHED_FROM && item.first().is_some_and(|prefix| *prefix >= 0xc0);
    item == EMPTY || embedded || (item.len() == HASH_ITEM && item.first() == Some(&0xa0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[Vec<u8>]) -> Vec<u8> {
        let payload = items.concat();
        let mut out = match u8::try_from(payload.len()) {
            Ok(short @ 0..=55) => vec![0xc0 + short],
            Ok(long) => vec![0xf8, long],
            Err(_) => {
                let mut out = vec![0xf9];
                out.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
                out
            }
        };
        out.extend(payload);
        out
    }

    fn hash() -> Vec<u8> {
        let mut item = vec![0xa0];
        item.extend([7; 32]);
        item
    }

    fn branch(child: &[u8]) -> Vec<u8> {
        let mut items = vec![EMPTY.to_vec(); 17];
        items[3] = child.to_vec();
        list(&items)
    }

    #[test]
    fn nodes_are_well_formed() {
        let leaf = list(&[vec![0x20], vec![0x83, 1, 2, 3]]);
        let odd_leaf = list(&[vec![0x82, 0x31, 0x23], vec![0x01]]);
        let extension = list(&[vec![0x82, 0x00, 0x12], hash()]);
        for node in
            [&EMPTY[..], &leaf, &odd_leaf, &extension, &branch(&hash()), &branch(&leaf), &branch(&EMPTY)]
        {
            assert!(is_well_formed(node), "{node:02x?}");
        }
    }

    /// SEQ-INV-11
    #[test]
    fn other_bytes_are_not() {
        let long_child = list(&[vec![0x20], vec![0xb8, 60].into_iter().chain([1; 60]).collect()]);
        let mut trailing = branch(&hash());
        trailing.push(0);
        let cut = branch(&hash());
        let bad = [
            vec![],
            vec![0xde, 0xad],
            list(&[]),
            list(&[vec![0x20]]),
            list(&[vec![0x40], vec![0x01]]),
            list(&[EMPTY.to_vec(), vec![0x01]]),
            list(&[vec![0x00], vec![0x01]]),
            list(&[vec![0x00], EMPTY.to_vec()]),
            list(&[vec![0x20], list(&[])]),
            list(&[vec![0x20], vec![1], vec![1]]),
            list(&vec![EMPTY.to_vec(); 18]),
            branch(&long_child),
            branch(&hash()[..32]),
            branch(&[0x01]),
            trailing,
            cut[..cut.len() - 1].to_vec(),
        ];
        for node in bad {
            assert!(!is_well_formed(&node), "{node:02x?}");
        }
    }
}
