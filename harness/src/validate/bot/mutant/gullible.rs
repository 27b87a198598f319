//! A bot that leaves out one check of tokens: what fails this check alone is handed to it
//! with a good token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use callrig_signaling::auth::CALLBACK_ISSUER;
use callrig_signaling::http::Request;
use serde_json::{Value, json};

use super::super::simulate::{self, APP};
use crate::seed::Seed;

/// Which check is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// Whether there is a token.
    Missing,
    /// Whether it can be read.
    Garbage,
    /// Whether the scheme is Bearer.
    Scheme,
    /// Whether it is signed at all (`alg: none`).
    AlgNone,
    /// Whether the algorithm is one for public keys.
    AlgHmac,
    /// Whether the signature is right.
    Signature,
    /// Whether the key is known.
    UnknownKey,
    /// Whether the claims are those that were signed.
    Tampered,
    /// Whether there is a signature.
    Unsigned,
    /// Whether it has expired.
    Expired,
    /// Whether it is valid yet.
    NotYet,
    /// For whom it is.
    Audience,
    /// Of whom it is.
    Issuer,
    /// Whether it ever ends.
    NoExpiry,
    /// Whether it names an organisation.
    NoTenant,
    /// Whether it is the bot's own for the API.
    ApiToken,
}

/// Whether the token of a request fails this check.
pub(super) fn lets_pass(lapse: Lapse, request: &Request) -> bool {
    let header = request.header("Authorization");
    let Some(text) = header else { return lapse == Lapse::Missing };
    let Some(token) = request.bearer() else { return lapse == Lapse::Scheme };
    let mut parts = token.split('.');
    let head = read(parts.next());
    let claims = read(parts.next());
    let signature = parts.next();
    let _ = text;
    let platform = simulate::setup(Seed::new(1)).key;
    let now = i64::try_from(crate::stage::EPOCH_NANOS / 1_000_000_000).unwrap_or(0);
    let known = head["kid"] == platform.id();
    let signed = known && signature.is_some_and(|s| !s.is_empty()) && head["alg"] == "RS256";
    match lapse {
        Lapse::Missing | Lapse::Scheme => false,
        Lapse::Garbage => signature.is_none(),
        Lapse::AlgNone => head["alg"] == "none",
        Lapse::AlgHmac => head["alg"] == "HS256",
        Lapse::Unsigned => head["alg"] == "RS256" && signature == Some(""),
        Lapse::UnknownKey => head["alg"] == "RS256" && !known,
        // Signing again shows whether the signature is that of these claims.
        Lapse::Signature | Lapse::Tampered => signed && platform.sign(&claims) != token,
        Lapse::Expired => claims["exp"].as_i64().is_some_and(|exp| exp < now),
        Lapse::NotYet => claims["nbf"].as_i64().is_some_and(|nbf| nbf > now + 3_600),
        Lapse::Audience => signed && claims["aud"] != APP && claims["appid"].is_null(),
        Lapse::Issuer => signed && claims["iss"] != CALLBACK_ISSUER && claims["appid"].is_null(),
        Lapse::NoExpiry => signed && claims["exp"].is_null(),
        Lapse::NoTenant => signed && claims["tid"].is_null(),
        Lapse::ApiToken => claims["appid"].is_string(),
    }
}

/// Gives a request the token that it should have.
pub(super) fn make_good(request: &mut Request) {
    let now = crate::stage::EPOCH_NANOS / 1_000_000_000;
    let claims = json!({
        "aud": APP, "iss": CALLBACK_ISSUER, "iat": now, "nbf": now, "exp": now + 3_900,
        "tid": super::super::rig::TENANT,
    });
    let token = simulate::setup(Seed::new(1)).key.sign(&claims);
    request.headers.remove("Authorization");
    request.headers.push("Authorization", &format!("Bearer {token}"));
}

fn read(part: Option<&str>) -> Value {
    let bytes = part.and_then(|part| BASE64.decode(part).ok()).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
