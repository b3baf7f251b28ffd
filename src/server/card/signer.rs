//! Signs cards (A2A 1.0, section 8.4), and tells with which keys.
//!
//! The same card has the same signature for as long as the gateway runs, although ES256 makes another one each time: a
//! card's tag must not change by itself.

use std::{sync::Arc, time::SystemTime};

use quick_cache::sync::Cache;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Base, Document};
use crate::{
    jws::{Key, Signature},
    proto::a2a::{AgentCard, AgentCardSignature},
    wire,
};

/// Where the public keys are.
pub const JWKS: &str = "/.well-known/jwks.json";

/// How long the keys may be used without asking again: a new one must be known before it signs for long.
const MAX_AGE: &str = "public, max-age=300";

/// The cards whose signatures are kept: more than there are agents, each with two.
const KEPT: usize = 4096;

/// Signs cards.
pub struct Signer {
    /// The first one signs.
    keys: Vec<Arc<Key>>,
    jwks_url: String,
    started: SystemTime,
    signed: Cache<[u8; 32], Signature>,
}

impl Signer {
    /// A signer with the first of these keys, all of which are published below `public`. None: there are no keys.
    pub fn new(keys: Vec<Arc<Key>>, public: &Base, started: SystemTime) -> Option<Self> {
        let jwks_url = public.at(JWKS);
        (!keys.is_empty()).then(|| Self { keys, jwks_url, started, signed: Cache::new(KEPT) })
    }

    /// The card, signed. A card that cannot be signed is served without a signature, which is no error for its readers.
    pub fn sign(&self, mut card: AgentCard) -> AgentCard {
        let payload = wire::card::signed_form(&card);
        let digest: [u8; 32] = Sha256::digest(&payload).into();
        let signature = self.signed.get_or_insert_with(&digest, || match self.keys.first() {
            Some(key) => key.sign(Some(&self.jwks_url), &payload),
            None => Err("there is no key".to_owned()),
        });
        match signature {
            Ok(Signature { protected, signature }) => {
                card.signatures = vec![AgentCardSignature { protected, signature, header: None }];
            }
            Err(cause) => tracing::error!(%cause, "an agent card cannot be signed"),
        }
        card
    }

    /// The public keys, as a JWK set.
    pub fn jwks(&self) -> Document {
        let keys: Vec<Value> = self.keys.iter().map(|key| key.jwk()).collect();
        Document {
            json: json!({"keys": keys}).to_string(),
            media: "application/jwk-set+json",
            modified: self.started,
            cache_control: MAX_AGE,
            vary: "",
        }
    }
}
