//! Secrets at rest: what only a webhook's receiver may know, encrypted where a key is configured.
//!
//! AES-256-GCM under a random nonce. The webhook's id is authenticated with it, so that one webhook's secrets cannot be
//! passed off as another's. The sealed form names its key, so that keys can be replaced: what an older key sealed is
//! still read, and is sealed anew when the store is opened. Without a key the form is plain.

use std::fmt;

use prost::Message as _;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};

use crate::{
    error::{Error, Result},
    proto::a2a::AuthenticationInfo,
    task::{Secrets, WebhookId},
};

/// The first byte of each form.
const PLAIN: u8 = 0;
const SEALED: u8 = 1;

const KEY_ID_LEN: usize = 4;

/// The keys that webhooks' secrets are encrypted with. None: they are stored as they are. Its `Debug` says nothing.
#[derive(Clone, Default)]
pub struct Keys {
    current: Option<Key>,
    older: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: [u8; KEY_ID_LEN],
    bytes: [u8; 32],
}

impl Keys {
    /// What is written is encrypted with `current`; what `older` ones encrypted is still read.
    pub fn new(current: Option<[u8; 32]>, older: &[[u8; 32]]) -> Self {
        Self { current: current.map(Key::new), older: older.iter().copied().map(Key::new).collect() }
    }

    /// Secrets as they are stored.
    ///
    /// # Errors
    /// `Internal` when the system has no randomness to give.
    pub(super) fn seal(&self, webhook: WebhookId, secrets: &Secrets) -> Result<Vec<u8>> {
        let plain = Stored::from(secrets).encode_to_vec();
        let Some(key) = &self.current else { return Ok([&[PLAIN], &plain[..]].concat()) };
        let failed = |cause| Error::internal("encrypting a webhook's secrets", cause);
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let mut text = plain;
        let aad = Aad::from(webhook.to_bytes());
        let cipher = key.cipher().map_err(failed)?;
        cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).map_err(failed)?;
        Ok([&[SEALED], &key.id[..], &nonce, &text].concat())
    }

    /// The secrets of a stored form. None: no key opens it, or it is damaged.
    pub(super) fn open(&self, webhook: WebhookId, stored: &[u8]) -> Option<Secrets> {
        let (form, rest) = stored.split_first()?;
        match *form {
            PLAIN => Stored::decode(rest).ok().map(Secrets::from),
            SEALED => {
                let (id, rest) = rest.split_first_chunk::<KEY_ID_LEN>()?;
                let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
                let keys = self.current.iter().chain(&self.older);
                let open = |key: &Key| {
                    let mut text = text.to_vec();
                    let nonce = Nonce::assume_unique_for_key(*nonce);
                    let aad = Aad::from(webhook.to_bytes());
                    let plain = key.cipher().ok()?.open_in_place(nonce, aad, &mut text).ok()?.to_vec();
                    Stored::decode(&plain[..]).ok().map(Secrets::from)
                };
                keys.filter(|key| key.id == *id).find_map(open)
            }
            _ => None,
        }
    }

    /// Whether a stored form can be read without a key.
    pub(super) fn is_plain(stored: &[u8]) -> bool {
        stored.first() == Some(&PLAIN)
    }

    /// Whether a stored form is as it would be written now.
    pub(super) fn is_current(&self, stored: &[u8]) -> bool {
        match &self.current {
            None => Self::is_plain(stored),
            Some(key) => stored.first() == Some(&SEALED) && stored.get(1..=KEY_ID_LEN) == Some(&key.id[..]),
        }
    }
}

impl Key {
    fn new(bytes: [u8; 32]) -> Self {
        // Says which key it is, and nothing about it.
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), b"a2a-gateway: id of a key for secrets");
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&tag.as_ref()[..KEY_ID_LEN]);
        Self { id, bytes }
    }

    fn cipher(&self) -> Result<LessSafeKey, ring::error::Unspecified> {
        UnboundKey::new(&AES_256_GCM, &self.bytes).map(LessSafeKey::new)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Secrets as bytes.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct Stored {
    #[prost(string, tag = "1")]
    token: String,
    #[prost(message, optional, tag = "2")]
    authentication: Option<AuthenticationInfo>,
    #[prost(string, tag = "3")]
    signing: String,
    #[prost(message, repeated, tag = "4")]
    previous_signing: Vec<Previous>,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stored(…)")
    }
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct Previous {
    #[prost(string, tag = "1")]
    secret: String,
    /// Milliseconds since 1970 UTC.
    #[prost(int64, tag = "2")]
    until: i64,
}

impl fmt::Debug for Previous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Previous(…)")
    }
}

impl From<&Secrets> for Stored {
    fn from(secrets: &Secrets) -> Self {
        let previous = |(secret, until): &(String, i64)| Previous { secret: secret.clone(), until: *until };
        Self {
            token: secrets.token.clone(),
            authentication: secrets.authentication.clone(),
            signing: secrets.signing.clone(),
            previous_signing: secrets.previous_signing.iter().map(previous).collect(),
        }
    }
}

impl From<Stored> for Secrets {
    fn from(stored: Stored) -> Self {
        Self {
            token: stored.token,
            authentication: stored.authentication,
            signing: stored.signing,
            previous_signing: stored.previous_signing.into_iter().map(|old| (old.secret, old.until)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets {
            token: "hidden-token".into(),
            authentication: Some(AuthenticationInfo { scheme: "Bearer".into(), credentials: "hidden".into() }),
            signing: "whsec_hidden".into(),
            previous_signing: vec![("whsec_before".into(), 7)],
        }
    }

    #[test]
    fn what_is_sealed_is_opened_by_its_key_for_its_webhook_only() {
        let (id, other) = (WebhookId::mint(), WebhookId::mint());
        let old = Keys::new(Some([1; 32]), &[]);
        let sealed = old.seal(id, &secrets()).unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("hidden"));
        assert_ne!(sealed, old.seal(id, &secrets()).unwrap(), "a nonce was used twice");
        assert_eq!(old.open(id, &sealed), Some(secrets()));
        assert_eq!(old.open(other, &sealed), None);
        assert!(old.is_current(&sealed));
        let rotated = Keys::new(Some([2; 32]), &[[1; 32]]);
        assert_eq!(rotated.open(id, &sealed), Some(secrets()));
        assert!(!rotated.is_current(&sealed));
        for stranger in [Keys::default(), Keys::new(Some([2; 32]), &[])] {
            assert_eq!(stranger.open(id, &sealed), None);
            assert!(!stranger.is_current(&sealed));
        }
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(old.open(id, &damaged).filter(|_| at > 0), None, "byte {at}");
            assert_eq!(old.open(id, &sealed[..at]), None);
        }
    }

    #[test]
    fn without_a_key_the_form_is_plain() {
        let (id, none) = (WebhookId::mint(), Keys::default());
        let plain = none.seal(id, &secrets()).unwrap();
        assert!(none.is_current(&plain));
        assert_eq!(none.open(id, &plain), Some(secrets()));
        let keyed = Keys::new(Some([1; 32]), &[]);
        assert_eq!(keyed.open(id, &plain), Some(secrets()));
        assert!(!keyed.is_current(&plain));
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(format!("{:?}", Keys::new(Some([7; 32]), &[[8; 32]])), "Keys(…)");
    }
}
