//! Reading tokens: which were signed by a key that is trusted, and are meant for us and
//! for now. One function for both sides: the platform reads apps' tokens with it, a bot
//! those of notifications.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::key::JwkSet;

/// Longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Who signs the tokens on notifications.
pub const CALLBACK_ISSUER: &str = "https://api.botframework.com";

/// How many keys of a set are kept.
const KEYS_MAX: usize = 64;

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// None came.
    #[error("there is no token")]
    Missing,
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token has {0} bytes, more than {TOKEN_BYTES_MAX}")]
    TooLong(usize),
    /// Not three parts of base64url with JSON in the first two.
    #[error("the token is no JWT: {0}")]
    Malformed(String),
    /// Signed with anything but RS256, or not at all.
    #[error("the token is not signed with RS256")]
    Algorithm,
    /// It demands that extensions be understood that are not.
    #[error("the token demands extensions: {0}")]
    Critical(String),
    /// Its header names no key, or one that is not known.
    #[error("the token's key is not known: {0:?}")]
    UnknownKey(String),
    /// The signature is not that of the key.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim that must be there is not.
    #[error("the token has no claim '{0}'")]
    NoClaim(&'static str),
    /// It was good once.
    #[error("the token expired at {0} (seconds since 1970)")]
    Expired(i64),
    /// It will be good.
    #[error("the token is not valid before {0} (seconds since 1970)")]
    NotYetValid(i64),
    /// For somebody else.
    #[error("the token is for the audience {0:?}")]
    Audience(String),
    /// From somebody else.
    #[error("the token's issuer is {0:?}")]
    Issuer(String),
    /// Of an organisation that is not there, or none that fits its issuer.
    #[error("the token's tenant is {0:?}")]
    Tenant(String),
    /// Of an app that is not there.
    #[error("the token's app is {0:?}")]
    App(String),
}

impl TokenError {
    /// Whether newer keys may make the token a good one.
    #[must_use]
    pub const fn may_need_newer_keys(&self) -> bool {
        matches!(self, Self::UnknownKey(_))
    }
}

/// What a token says, once it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// For whom.
    pub audience: String,
    /// From whom.
    pub issuer: String,
    /// Of which organisation.
    pub tenant: Option<String>,
    /// Which app it stands for (`appid`, or `azp` in the second version).
    pub app: Option<String>,
    /// What the app may do.
    pub roles: Vec<String>,
    /// Until when it is good, in seconds since 1970.
    pub expires: i64,
    /// Which key signed it.
    pub key: String,
}

/// What must be true of a token.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// One of these must be its audience.
    pub audiences: &'a [&'a str],
    /// One of these must be its issuer; `{tid}` in them stands for the token's tenant.
    pub issuers: &'a [&'a str],
    /// Now, in seconds since 1970.
    pub now_unix: i64,
    /// How far clocks may be apart, in seconds.
    pub skew_seconds: i64,
}

/// Keys whose signatures are believed.
#[derive(Clone, Default)]
pub struct Trusted(Vec<(String, DecodingKey)>);

impl Trusted {
    /// Those of a published set that can verify RS256; what else is in it is left out.
    #[must_use]
    pub fn new(set: &JwkSet) -> Self {
        let usable = set.keys.iter().filter_map(|key| {
            let fits = key.kty == "RSA"
                && key.key_use.as_deref().is_none_or(|use_| use_ == "sig")
                && key.alg.as_deref().is_none_or(|alg| alg == "RS256");
            let (id, n, e) = (key.kid.clone()?, key.n.as_deref()?, key.e.as_deref()?);
            let decoding = DecodingKey::from_rsa_components(n, e).ok()?;
            fits.then_some((id, decoding))
        });
        Self(usable.take(KEYS_MAX).collect())
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, id: &str) -> Option<&DecodingKey> {
        self.0.iter().find(|(known, _)| known == id).map(|(_, key)| key)
    }
}

impl core::fmt::Debug for Trusted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

/// One string or several: RFC 7519 allows both for `aud`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => core::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// Claims as they stand in the token.
#[derive(Debug, Deserialize)]
struct Raw {
    aud: Option<OneOrMany>,
    iss: Option<String>,
    tid: Option<String>,
    appid: Option<String>,
    azp: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    nbf: Option<serde_json::Number>,
    exp: Option<serde_json::Number>,
}

/// Reads a token and believes it, or says why not.
///
/// # Errors
/// The first thing that is wrong with it; what is wrong with its signature comes before
/// what is wrong with its claims.
pub fn verify(
    token: &str,
    trusted: &Trusted,
    expected: &Expected<'_>,
) -> Result<Claims, TokenError> {
    let (key, raw) = check_signature(token, trusted)?;
    let seconds = |number: &serde_json::Number| {
        number.as_i64().or_else(|| number.as_f64().map(|float| float.floor() as i64))
    };
    let expires = raw.exp.as_ref().and_then(seconds).ok_or(TokenError::NoClaim("exp"))?;
    if expected.now_unix >= expires.saturating_add(expected.skew_seconds) {
        return Err(TokenError::Expired(expires));
    }
    if let Some(from) = raw.nbf.as_ref().and_then(seconds)
        && expected.now_unix < from.saturating_sub(expected.skew_seconds)
    {
        return Err(TokenError::NotYetValid(from));
    }
    let audiences = raw.aud.ok_or(TokenError::NoClaim("aud"))?;
    let audience = audiences
        .as_slice()
        .iter()
        .find(|audience| expected.audiences.contains(&audience.as_str()))
        .ok_or_else(|| TokenError::Audience(audiences.as_slice().join(", ")))?
        .clone();
    let issuer = raw.iss.ok_or(TokenError::NoClaim("iss"))?;
    let tenant = raw.tid;
    let known = expected
        .issuers
        .iter()
        .any(|known| issued_by(known, &issuer, tenant.as_deref().unwrap_or_default()));
    if !known {
        return Err(TokenError::Issuer(issuer));
    }
    let app = raw.appid.or(raw.azp);
    Ok(Claims { audience, issuer, tenant, app, roles: raw.roles, expires, key })
}

fn issued_by(pattern: &str, issuer: &str, tenant: &str) -> bool {
    match pattern.split_once("{tid}") {
        None => pattern == issuer,
        Some((before, after)) => {
            !tenant.is_empty()
                && issuer
                    .strip_prefix(before)
                    .and_then(|rest| rest.strip_suffix(after))
                    .is_some_and(|middle| middle.eq_ignore_ascii_case(tenant))
        }
    }
}

/// The key that signed a token, and its claims.
fn check_signature(token: &str, trusted: &Trusted) -> Result<(String, Raw), TokenError> {
    use jsonwebtoken::errors::ErrorKind;
    if token.is_empty() {
        return Err(TokenError::Missing);
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong(token.len()));
    }
    let malformed = |what: &str| TokenError::Malformed(what.to_owned());
    if token.split('.').count() != 3 {
        return Err(malformed("it has not three parts"));
    }
    let header = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
        // `none`, and whatever else is no algorithm of signatures.
        ErrorKind::Json(error) if error.to_string().contains("unknown variant") => {
            TokenError::Algorithm
        }
        _ => malformed("its header cannot be read"),
    })?;
    if header.alg != Algorithm::RS256 {
        return Err(TokenError::Algorithm);
    }
    if let Some(critical) = header.crit {
        return Err(TokenError::Critical(critical.join(", ")));
    }
    let id = header.kid.unwrap_or_default();
    let Some(key) = trusted.get(&id) else { return Err(TokenError::UnknownKey(id)) };
    // Times are checked by the caller's clock; the library would ask the machine's.
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    match jsonwebtoken::decode::<Raw>(token, key, &validation) {
        Ok(data) => Ok((id, data.claims)),
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidSignature => TokenError::Signature,
            ErrorKind::Base64(_) => malformed("it is not in base64url"),
            _ => malformed("its claims cannot be read"),
        }),
    }
}
