//! Who signs and who is believed: the platform's keys over time, and what was signed and
//! verified with them, kept so that a call costs no signature and no verification each.

use std::collections::BTreeMap;

use serde::Serialize;

use super::jwt::{CALLBACK_ISSUER, Claims, Expected, TokenError, Trusted, verify};
use super::key::{JwkSet, KeyError, SigningKey};
use super::{GRAPH_APP_ID, GRAPH_AUDIENCE, Tokens};
use crate::id::{AppId, TenantId};

/// How many keys there are at once.
const KEYS_MAX: usize = 8;

/// How many tokens that were verified are remembered.
const VERIFIED_MAX: usize = 4096;

/// How many tokens for notifications are kept.
const CALLBACKS_MAX: usize = 4096;

/// Issuers of the login service: of tokens of the first and of the second version.
const ISSUERS: [&str; 2] =
    ["https://sts.windows.net/{tid}/", "https://login.microsoftonline.com/{tid}/v2.0"];

/// A key, and from when on it signs (seconds since 1970).
#[derive(Debug)]
struct Held {
    key: SigningKey,
    signs_from: i64,
}

/// The claims of a token on a notification.
#[derive(Serialize)]
struct Callback<'a> {
    aud: &'a str,
    iss: &'static str,
    iat: i64,
    nbf: i64,
    exp: i64,
    tid: &'a str,
}

#[derive(Debug)]
struct Signed {
    token: String,
    renew_at: i64,
}

/// The platform's keys and what is known through them.
#[derive(Debug)]
pub(crate) struct Authority {
    rule: Tokens,
    /// In the order in which they begin to sign.
    keys: Vec<Held>,
    trusted: Trusted,
    base: String,
    verified: BTreeMap<String, Claims>,
    callbacks: BTreeMap<(AppId, TenantId), Signed>,
}

impl Authority {
    /// With its first keys, which sign from the beginning.
    pub(crate) fn new(mut rule: Tokens, base_url: &str) -> Self {
        let held = |key| Held { key, signs_from: i64::MIN };
        let keys: Vec<_> = core::mem::take(&mut rule.keys).into_iter().map(held).collect();
        let mut authority = Self {
            rule,
            keys,
            trusted: Trusted::default(),
            base: base_url.trim_end_matches('/').to_owned(),
            verified: BTreeMap::new(),
            callbacks: BTreeMap::new(),
        };
        authority.trusted = Trusted::new(&authority.published());
        authority
    }

    pub(crate) const fn rule(&self) -> &Tokens {
        &self.rule
    }

    /// What is published.
    pub(crate) fn published(&self) -> JwkSet {
        JwkSet { keys: self.keys.iter().map(|held| held.key.public().clone()).collect() }
    }

    /// Adds a key: published at once, signing once all readers have had the time to
    /// learn of it. Keys before it go when the last token that they signed has expired.
    pub(crate) fn add(&mut self, now_unix: i64, key: SigningKey) -> Result<(), KeyError> {
        self.retire(now_unix);
        if self.keys.iter().any(|held| held.key == key) {
            return Err(KeyError::Known(key.id().to_owned()));
        }
        if self.keys.len() >= KEYS_MAX {
            return Err(KeyError::TooMany(KEYS_MAX));
        }
        let signs_from = now_unix.saturating_add(seconds(self.rule.announced));
        self.keys.push(Held { key, signs_from });
        self.trusted = Trusted::new(&self.published());
        Ok(())
    }

    /// Lets go of keys that no living token was signed with.
    pub(crate) fn retire(&mut self, now_unix: i64) {
        let longest = seconds(self.rule.lifetime.max(self.rule.callback_lifetime));
        let kept = longest.saturating_add(seconds(self.rule.skew));
        // All before the last key whose reign is longer than the longest life of a token.
        let reigning =
            self.keys.iter().rposition(|held| held.signs_from.saturating_add(kept) <= now_unix);
        if let Some(last) = reigning.filter(|last| *last > 0) {
            self.keys.drain(..last);
            self.trusted = Trusted::new(&self.published());
            let keys = &self.keys;
            self.verified.retain(|_, claims| keys.iter().any(|held| held.key.id() == claims.key));
        }
    }

    /// The key that signs now.
    fn signer(&self, now_unix: i64) -> Option<&SigningKey> {
        let reigning = self.keys.iter().rev().find(|held| held.signs_from <= now_unix);
        reigning.or_else(|| self.keys.first()).map(|held| &held.key)
    }

    /// Signs claims; empty without a key, which a configuration always has.
    pub(crate) fn sign(&mut self, now_unix: i64, claims: &impl Serialize) -> String {
        self.retire(now_unix);
        self.signer(now_unix).map(|key| key.sign(claims)).unwrap_or_default()
    }

    /// The token for notifications to an app about calls in an organisation. One is
    /// signed anew when half of its life is over: what is on its way stays good.
    pub(crate) fn callback_token(&mut self, now_unix: i64, app: &AppId, tenant: &TenantId) -> &str {
        let audience = (app.clone(), tenant.clone());
        let fresh = self.callbacks.get(&audience).is_some_and(|signed| now_unix < signed.renew_at);
        if !fresh {
            let life = seconds(self.rule.callback_lifetime);
            let claims = Callback {
                aud: app.as_str(),
                iss: CALLBACK_ISSUER,
                iat: now_unix,
                nbf: now_unix,
                exp: now_unix + life,
                tid: tenant.as_str(),
            };
            let token = self.sign(now_unix, &claims);
            if self.callbacks.len() >= CALLBACKS_MAX {
                self.callbacks.retain(|_, signed| now_unix < signed.renew_at);
                if self.callbacks.len() >= CALLBACKS_MAX {
                    self.callbacks.pop_first();
                }
            }
            let signed = Signed { token, renew_at: now_unix + life / 2 };
            self.callbacks.insert(audience.clone(), signed);
        }
        self.callbacks.get(&audience).map_or("", |signed| &signed.token)
    }

    /// Who an API token stands for. Whether app and organisation are there is the
    /// caller's to check.
    pub(crate) fn verify(&mut self, now_unix: i64, token: &str) -> Result<&Claims, TokenError> {
        self.retire(now_unix);
        let skew_seconds = seconds(self.rule.skew);
        if let Some(claims) = self.verified.get(token)
            && now_unix >= claims.expires.saturating_add(skew_seconds)
        {
            let expires = claims.expires;
            self.verified.remove(token);
            return Err(TokenError::Expired(expires));
        }
        if !self.verified.contains_key(token) {
            let slashed = format!("{GRAPH_AUDIENCE}/");
            let audiences = [GRAPH_AUDIENCE, &slashed, GRAPH_APP_ID, &self.base];
            let expected =
                Expected { audiences: &audiences, issuers: &ISSUERS, now_unix, skew_seconds };
            let claims = verify(token, &self.trusted, &expected)?;
            if self.verified.len() >= VERIFIED_MAX {
                self.verified.retain(|_, claims| now_unix < claims.expires);
                if self.verified.len() >= VERIFIED_MAX {
                    self.verified.clear();
                }
            }
            self.verified.insert(token.to_owned(), claims);
        }
        self.verified.get(token).ok_or(TokenError::Missing)
    }
}

/// As whole seconds.
pub(crate) fn seconds(duration: core::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
