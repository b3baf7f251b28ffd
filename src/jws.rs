//! Keys that sign, and their signatures: JWS (RFC 7515) by ES256 and EdDSA, public keys as JWK (RFC 7517). A leaf, like
//! errors.
//!
//! A key's id is the thumbprint of its public half (RFC 7638): it names the key wherever it is kept, and nobody has to
//! invent or write down a name. Private halves are never shown: `Debug` prints the id.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How to make a key that can be used.
const REMEDY: &str = "make one with \"openssl genpkey -algorithm ed25519\", or with \"openssl genpkey -algorithm EC -pkeyopt \
                      ec_paramgen_curve:P-256\"";

/// A key that signs.
pub struct Key {
    pair: Pair,
    id: String,
    /// The public half: what a thumbprint covers.
    public: Value,
}

enum Pair {
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Ed25519KeyPair),
}

/// A detached signature: what it covers beside the payload, and itself, both in base64url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The protected header.
    pub protected: String,
    /// The signature over the protected header and the payload.
    pub signature: String,
}

impl Key {
    /// Reads a private key: PEM, PKCS#8, on the curve P-256 or Ed25519, not encrypted.
    ///
    /// # Errors
    /// What it is instead, and how to come by one that can be used.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| format!("holds no private key in PEM, or an encrypted one: {REMEDY}"))?;
        let pkcs8 = match &key {
            PrivateKeyDer::Pkcs8(key) => key.secret_pkcs8_der(),
            PrivateKeyDer::Sec1(_) => {
                return Err(
                    "holds a key that is not in PKCS#8: \"openssl pkcs8 -topk8 -nocrypt -in FILE\" converts it"
                        .to_owned(),
                );
            }
            _ => return Err(format!("holds an RSA key, which cannot sign cards: {REMEDY}")),
        };
        // PKCS#8 of Ed25519 may leave out the public half, and openssl does.
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            let public = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref())});
            return Ok(Self::new(Pair::EdDsa(pair), public));
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new())
            .map_err(|_| format!("holds a key that is neither of P-256 nor of Ed25519: {REMEDY}"))?;
        // An uncompressed point: 4, then both coordinates.
        let Some((x, y)) = pair.public_key().as_ref().get(1..).and_then(|point| point.split_at_checked(32)) else {
            return Err(format!("holds a key without its public half: {REMEDY}"));
        };
        let public = json!({"kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y)});
        Ok(Self::new(Pair::Es256(Box::new(pair)), public))
    }

    fn new(pair: Pair, public: Value) -> Self {
        // Members come in the order of their names, as the thumbprint has them.
        let id = encoded(&Sha256::digest(public.to_string()));
        Self { pair, id, public }
    }

    /// Its id, which is the same wherever the key is used.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its algorithm's name in JWS.
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::EdDsa(_) => "EdDSA",
        }
    }

    /// Its public half, as a member of a JWK set.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.public.clone();
        jwk["kid"] = self.id.as_str().into();
        jwk["use"] = "sig".into();
        jwk["alg"] = self.algorithm().into();
        jwk
    }

    /// Signs a payload, which the signature does not hold. `jku`: where the key's set is served; none: not said.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn sign(&self, jku: Option<&str>, payload: &str) -> Result<Signature, String> {
        let mut header = json!({"alg": self.algorithm(), "kid": self.id, "typ": "JOSE"});
        if let Some(jku) = jku {
            header["jku"] = jku.into();
        }
        let protected = encoded(header.to_string().as_bytes());
        let input = format!("{protected}.{}", encoded(payload.as_bytes()));
        let signature = match &self.pair {
            Pair::EdDsa(pair) => encoded(pair.sign(input.as_bytes()).as_ref()),
            Pair::Es256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), input.as_bytes());
                encoded(signature.map_err(|_| "the system has no random numbers")?.as_ref())
            }
        };
        Ok(Signature { protected, signature })
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.id).finish()
    }
}

/// Keys of one id are one key.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

#[cfg(test)]
mod tests;
