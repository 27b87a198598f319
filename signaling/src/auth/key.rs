//! Keys: the private ones that sign, and what is published of them (RFC 7517).

use core::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::RsaPrivateKey;
use rsa::pkcs1v15;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::rand_core::{self, CryptoRng, RngCore};
use rsa::sha2::{Digest as _, Sha256};
use rsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use serde::{Deserialize, Serialize};

/// Shortest modulus that is taken, in bits (RFC 7518, 3.3).
const MODULUS_BITS_MIN: usize = 2048;

/// Longest modulus that is taken, in bits: what verifies tokens knows no longer one.
const MODULUS_BITS_MAX: usize = 4096;

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PKCS #8 of an RSA key.
    #[error("the key is no RSA key in PKCS #8: {0}")]
    Malformed(String),
    /// Too short or too long.
    #[error("the key has {0} bits; {MODULUS_BITS_MIN} to {MODULUS_BITS_MAX} are taken")]
    Length(usize),
    /// It is there already.
    #[error("the key {0} is there already")]
    Known(String),
    /// No more room.
    #[error("there are {0} keys already")]
    TooMany(usize),
    /// The platform signs nothing.
    #[error("callers are known by name here: nothing is signed")]
    ByName,
}

/// A private RSA key, named by the fingerprint of its public half (RFC 7638). Cheap to
/// clone; equal if its public half is.
#[derive(Clone)]
pub struct SigningKey(Arc<Inner>);

struct Inner {
    id: String,
    signer: pkcs1v15::SigningKey<Sha256>,
    public: Jwk,
}

impl SigningKey {
    /// A new key of 2048 bits, from the owner's randomness: `fill` is to fill what it is
    /// given with bytes that nobody can foretell. What repeats itself leads to no key, and
    /// this never ends.
    ///
    /// # Errors
    /// The library finds no key.
    pub fn generate(fill: impl FnMut(&mut [u8])) -> Result<Self, KeyError> {
        let key = RsaPrivateKey::new(&mut Randomness(fill), MODULUS_BITS_MIN);
        Self::new(key.map_err(|error| KeyError::Malformed(error.to_string()))?)
    }

    /// From PKCS #8 between lines that say so.
    ///
    /// # Errors
    /// What about it cannot be used.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        let key = RsaPrivateKey::from_pkcs8_pem(pem);
        Self::new(key.map_err(|error| KeyError::Malformed(error.to_string()))?)
    }

    /// From PKCS #8 as it is.
    ///
    /// # Errors
    /// What about it cannot be used.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = RsaPrivateKey::from_pkcs8_der(der);
        Self::new(key.map_err(|error| KeyError::Malformed(error.to_string()))?)
    }

    fn new(key: RsaPrivateKey) -> Result<Self, KeyError> {
        let bits = key.n().bits();
        if !(MODULUS_BITS_MIN..=MODULUS_BITS_MAX).contains(&bits) {
            return Err(KeyError::Length(bits));
        }
        let n = URL_SAFE_NO_PAD.encode(key.n().to_bytes_be());
        let e = URL_SAFE_NO_PAD.encode(key.e().to_bytes_be());
        let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical));
        let public = Jwk {
            kty: "RSA".to_owned(),
            kid: Some(id.clone()),
            key_use: Some("sig".to_owned()),
            alg: Some("RS256".to_owned()),
            n: Some(n),
            e: Some(e),
            endorsements: Vec::new(),
        };
        Ok(Self(Arc::new(Inner { id, signer: pkcs1v15::SigningKey::new(key), public })))
    }

    /// Its name in the `kid` of what it signs.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What is published of it.
    #[must_use]
    pub fn public(&self) -> &Jwk {
        &self.0.public
    }

    /// Claims as a signed token.
    #[must_use]
    pub fn sign(&self, claims: &impl Serialize) -> String {
        let id = self.id();
        let header = format!(r#"{{"typ":"JWT","alg":"RS256","kid":"{id}","x5t":"{id}"}}"#);
        let claims = serde_json::to_vec(claims).expect("claims have string keys");
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        // Only a key too short for the digest fails, and those are not taken.
        let signature = self.0.signer.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.to_bytes(), &mut token);
        token
    }
}

/// The owner's randomness as the library wants it.
struct Randomness<F>(F);

impl<F: FnMut(&mut [u8])> RngCore for Randomness<F> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        (self.0)(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        (self.0)(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        (self.0)(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        (self.0)(bytes);
        Ok(())
    }
}

impl<F> CryptoRng for Randomness<F> {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for SigningKey {}

/// A public key as it is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `RSA`; others are not for us.
    pub kty: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// `sig` if it is for signatures.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub key_use: Option<String>,
    /// For which algorithm, if for one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The modulus, big-endian in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The exponent, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// For which channels the Bot Framework vouches with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endorsements: Vec<String>,
}

/// Public keys as they are published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    /// In no order.
    pub keys: Vec<Jwk>,
}
