//! Tokens, both ways: apps prove themselves to the API with tokens of the platform's own
//! login service (OAuth 2.0 client credentials, RFC 6749 4.4), and the platform proves
//! itself to bots with a token on every notification. Both are JWTs (RFC 7519) signed
//! with RS256 by keys that the owner hands in; the wall clock is the owner's too.
//!
//! Signing is without blinding, since blinding needs randomness that is no one's to
//! foretell: RSA's PKCS #1 v1.5 signatures are then the same for the same seed. The keys
//! are the rig's own, made for one run.

use core::time::Duration;

mod authority;
pub(crate) mod discovery;
mod jwt;
mod key;
pub(crate) mod oauth;

pub(crate) use authority::Authority;
pub use jwt::{CALLBACK_ISSUER, Claims, Expected, TOKEN_BYTES_MAX, TokenError, Trusted, verify};
pub use key::{Jwk, JwkSet, KeyError, SigningKey};

/// What API tokens are for, as Graph writes it.
pub const GRAPH_AUDIENCE: &str = "https://graph.microsoft.com";

/// The same, by the id of Graph's own registration.
pub(crate) const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";

/// What tokens for the channel service of the Bot Framework are for. Bots ask for them
/// beside the API's; the API does not take them.
pub(crate) const BOT_FRAMEWORK_AUDIENCE: &str = "https://api.botframework.com";

/// How the platform makes and takes tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// What they are signed with: at least one key. The last of them signs, all of them
    /// are published.
    pub keys: Vec<SigningKey>,
    /// How long an app's token lives.
    pub lifetime: Duration,
    /// How long the token on a notification lives.
    pub callback_lifetime: Duration,
    /// How far clocks may be apart.
    pub skew: Duration,
    /// How long a key that is added later is published before it signs: as long as those
    /// who read keys may keep them.
    pub announced: Duration,
}

impl Tokens {
    /// The documented lifetimes; a key that is added signs after five minutes.
    #[must_use]
    pub const fn new(keys: Vec<SigningKey>) -> Self {
        Self {
            keys,
            lifetime: Duration::from_secs(3599),
            callback_lifetime: Duration::from_secs(3900),
            skew: Duration::from_secs(300),
            announced: Duration::from_secs(300),
        }
    }
}
