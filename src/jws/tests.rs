use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};

use super::*;

/// The key of RFC 8037, appendix A, in PEM; and keys of our own, made by openssl for these tests.
const ED25519_KEY: &str = include_str!("tests/ed25519.pem");
const P256_KEY: &str = include_str!("tests/p256.pem");

fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

#[test]
fn a_key_is_named_by_its_thumbprint() {
    let key = Key::from_pem(ED25519_KEY).unwrap();
    assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let expected = json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "kid": key.id(), "use": "sig", "alg": "EdDSA",
    });
    assert_eq!(key.jwk(), expected);
    assert_eq!(format!("{key:?}"), format!("Key({:?})", key.id()));
}

#[test]
fn what_is_signed_is_the_header_and_the_payload() {
    for (pem, algorithm) in [(ED25519_KEY, "EdDSA"), (P256_KEY, "ES256")] {
        let key = Key::from_pem(pem).unwrap();
        let Signature { protected, signature } = key.sign(Some("https://gw.test/jwks"), "{\"a\":1}").unwrap();
        let header: Value = serde_json::from_slice(&decoded(&protected)).unwrap();
        let expected = json!({"alg": algorithm, "kid": key.id(), "typ": "JOSE", "jku": "https://gw.test/jwks"});
        assert_eq!(header, expected);

        let jwk = key.jwk();
        let part = |name: &str| decoded(jwk[name].as_str().unwrap());
        let (public, rule): (_, &'static dyn VerificationAlgorithm) = match algorithm {
            "EdDSA" => (part("x"), &ED25519),
            _ => ([vec![4], part("x"), part("y")].concat(), &ECDSA_P256_SHA256_FIXED),
        };
        let public = UnparsedPublicKey::new(rule, public);
        let input = format!("{protected}.{}", encoded(b"{\"a\":1}"));
        public.verify(input.as_bytes(), &decoded(&signature)).unwrap();
        let other = format!("{protected}.{}", encoded(b"{\"a\":2}"));
        public.verify(other.as_bytes(), &decoded(&signature)).unwrap_err();

        let plain: Value = serde_json::from_slice(&decoded(&key.sign(None, "").unwrap().protected)).unwrap();
        assert!(plain.get("jku").is_none());
    }
}

#[test]
fn what_cannot_sign_is_refused_with_a_remedy() {
    for (text, start) in [
        ("", "holds no private key in PEM"),
        (include_str!("tests/sec1.pem"), "holds a key that is not in PKCS#8: \"openssl pkcs8 -topk8"),
        (include_str!("tests/p384.pem"), "holds a key that is neither of P-256 nor of Ed25519"),
        (include_str!("tests/encrypted.pem"), "holds no private key in PEM, or an encrypted one"),
    ] {
        let problem = Key::from_pem(text).unwrap_err();
        assert!(problem.starts_with(start) && problem.contains("openssl"), "{problem}");
    }
}
