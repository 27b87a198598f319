//! Tokens of notifications, good and bad: each bad one is wrong in one way only, so that a
//! bot which takes it has left out one check.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use callrig_signaling::auth::{CALLBACK_ISSUER, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::script::Token;

/// How long tokens live, in seconds.
const LIFE: i64 = 3_900;
const DAY: i64 = 86_400;

/// What tokens are made of.
#[derive(Clone, Debug)]
pub(super) struct Forge {
    /// The platform's key.
    pub(super) key: SigningKey,
    /// A key that it does not have.
    pub(super) stranger: SigningKey,
    /// The bot's app.
    pub(super) app: String,
    /// The organisation.
    pub(super) tenant: String,
}

impl Forge {
    /// The value of the `Authorization` header, if there is to be one.
    pub(super) fn authorization(&self, token: Token, unix: i64, api: &str) -> Option<String> {
        let text = match token {
            Token::Missing => return None,
            Token::Scheme => return Some(format!("Basic {}", self.key.sign(&self.claims(unix)))),
            Token::Good => self.key.sign(&self.claims(unix)),
            Token::Garbage => "this-is-no-token".to_owned(),
            Token::AlgNone => {
                let header = json!({ "typ": "JWT", "alg": "none", "kid": self.key.id() });
                format!("{}.{}.", encode(&header), encode(&self.claims(unix)))
            }
            Token::Hmac => self.hmac(unix),
            Token::OtherKey => self.renamed(&self.stranger.sign(&self.claims(unix))),
            Token::UnknownKey => self.stranger.sign(&self.claims(unix)),
            Token::Tampered => self.tampered(unix),
            Token::Unsigned => {
                let token = self.key.sign(&self.claims(unix));
                let (signed, _) = token.rsplit_once('.').unwrap_or((&token, ""));
                format!("{signed}.")
            }
            Token::ApiToken => api.to_owned(),
            Token::Expired => self.key.sign(&self.claims(unix - DAY)),
            Token::NotYet => self.key.sign(&self.claims(unix + DAY)),
            Token::Audience => {
                self.with(unix, "aud", &json!("99999999-9999-4999-8999-999999999999"))
            }
            Token::Issuer => self.with(unix, "iss", &json!("https://issuer.test")),
            Token::NoTenant => self.with(unix, "tid", &Value::Null),
            Token::NoExpiry => self.with(unix, "exp", &Value::Null),
        };
        Some(format!("Bearer {text}"))
    }

    fn claims(&self, unix: i64) -> Value {
        json!({
            "aud": self.app, "iss": CALLBACK_ISSUER, "iat": unix, "nbf": unix,
            "exp": unix + LIFE, "tid": self.tenant,
        })
    }

    /// With one claim changed, or left out.
    fn with(&self, unix: i64, name: &str, value: &Value) -> String {
        let mut claims = self.claims(unix);
        match (value, claims.as_object_mut()) {
            (Value::Null, Some(map)) => drop(map.remove(name)),
            (_, Some(map)) => drop(map.insert(name.to_owned(), value.clone())),
            (_, None) => {}
        }
        self.key.sign(&claims)
    }

    /// The stranger's token under the name of the platform's key.
    fn renamed(&self, token: &str) -> String {
        let id = self.key.id();
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": id, "x5t": id });
        let rest = token.split_once('.').map_or("", |(_, rest)| rest);
        format!("{}.{rest}", encode(&header))
    }

    /// For another bot first, and for this one after it was signed.
    fn tampered(&self, unix: i64) -> String {
        let other = self.with(unix, "aud", &json!("99999999-9999-4999-8999-999999999999"));
        let mut parts = other.split('.');
        let (header, _, signature) = (parts.next(), parts.next(), parts.next());
        let (header, signature) = (header.unwrap_or_default(), signature.unwrap_or_default());
        format!("{header}.{}.{signature}", encode(&self.claims(unix)))
    }

    /// The public key, as everybody can read it, used as the secret of a MAC.
    fn hmac(&self, unix: i64) -> String {
        let header = json!({ "typ": "JWT", "alg": "HS256", "kid": self.key.id() });
        let signed = format!("{}.{}", encode(&header), encode(&self.claims(unix)));
        let secret = self.key.public().n.clone().unwrap_or_default();
        let mac = hmac_sha256(secret.as_bytes(), signed.as_bytes());
        format!("{signed}.{}", BASE64.encode(mac))
    }
}

fn encode(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

/// RFC 2104, which is two lines where a hash is at hand.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_that_of_rfc_4231() {
        let mac = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }
}
