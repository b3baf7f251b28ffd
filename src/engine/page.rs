//! Page tokens: a place in one list, opaque to callers.

use std::fmt::Debug;

use sha2::{Digest as _, Sha256};

use crate::store::Key;

/// Page tokens of one list: a place and a check that it belongs to this caller and these filters.
pub(super) struct Token {
    filters: [u8; 32],
}

impl Token {
    /// The tokens of the list that these filters, the caller among them, make.
    pub fn new(filters: &impl Debug) -> Self {
        Self { filters: Sha256::digest(format!("{filters:?}")).into() }
    }

    fn check(&self, key: Key) -> u64 {
        let mut digest = Sha256::new_with_prefix(self.filters);
        digest.update(key.updated.to_be_bytes());
        digest.update(key.row.to_be_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        u64::from_be_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
    }

    /// The token of a place.
    pub fn write(&self, key: Key) -> String {
        format!("{:016x}{:016x}{:016x}", key.updated, key.row, self.check(key))
    }

    /// The place of a token; none: it is not of this list.
    pub fn read(&self, token: &str) -> Option<Key> {
        if token.len() != 48 || !token.is_ascii() {
            return None;
        }
        let number = |range| u64::from_str_radix(token.get(range)?, 16).ok();
        let key = Key { updated: number(0..16)?.cast_signed(), row: number(16..32)?.cast_signed() };
        // Written again, since digits can be written in more than one way.
        (self.write(key) == token).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_is_good_for_its_own_list_only() {
        let token = Token::new(&("me", "echo"));
        let key = Key { updated: 1_700_000_000_000, row: 7 };
        let text = token.write(key);
        assert_eq!(token.read(&text), Some(key));
        assert_eq!(Token::new(&("somebody", "echo")).read(&text), None);
        assert_eq!(token.read(&text.replace('7', "8")), None);
        assert_eq!(token.read(&text.to_ascii_uppercase()), None);
        assert_eq!(token.read(&text.replacen('0', "+", 1)), None);
        for foreign in ["", "next", &"0".repeat(48), &"é".repeat(24)] {
            assert_eq!(token.read(foreign), None, "{foreign}");
        }
    }
}
