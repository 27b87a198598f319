//! The token endpoint's own language: forms in, JSON out, and errors in the words of the
//! login service (codes `AADSTS…`), which bots' libraries match and developers search for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use super::{BOT_FRAMEWORK_AUDIENCE, GRAPH_APP_ID, GRAPH_AUDIENCE};
use crate::http::Request;
use crate::service::form_decode;

/// Longest form that is read, in bytes.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// How many fields a form may have.
const FIELDS_MAX: usize = 64;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// As RFC 6749 (5.2) names it.
    pub(crate) error: &'static str,
    /// The number in `AADSTS…`.
    pub(crate) code: u32,
    pub(crate) words: String,
}

impl Refusal {
    pub(crate) fn new(
        status: u16,
        error: &'static str,
        code: u32,
        words: impl Into<String>,
    ) -> Self {
        Self { status, error, code, words: words.into() }
    }

    fn missing(name: &str) -> Self {
        let words = format!("The request body must contain the following parameter: '{name}'.");
        Self::new(400, "invalid_request", 900_144, words)
    }

    /// As its body.
    pub(crate) fn body(&self, trace: &str, correlation: &str, moment: &str) -> Value {
        let Self { error, code, words, .. } = self;
        json!({
            "error": error,
            "error_description": format!(
                "AADSTS{code}: {words} Trace ID: {trace} Correlation ID: {correlation} \
                 Timestamp: {moment}"
            ),
            "error_codes": [code],
            "timestamp": moment,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        })
    }
}

/// What an app asks the token endpoint for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) client: String,
    pub(crate) secret: Option<String>,
    pub(crate) resource: Resource,
}

/// What a token is to be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Graph,
    BotFramework,
}

impl Resource {
    pub(crate) const fn audience(self) -> &'static str {
        match self {
            Self::Graph => GRAPH_AUDIENCE,
            Self::BotFramework => BOT_FRAMEWORK_AUDIENCE,
        }
    }

    /// By its URL or its app's id; the platform's own addresses are Graph's too.
    fn parse(text: &str, own: &[&str]) -> Option<Self> {
        let text = text.trim_end_matches('/');
        let is = |known: &str| text.eq_ignore_ascii_case(known.trim_end_matches('/'));
        if is(GRAPH_AUDIENCE) || is(GRAPH_APP_ID) || own.iter().any(|own| is(own)) {
            Some(Self::Graph)
        } else {
            is(BOT_FRAMEWORK_AUDIENCE).then_some(Self::BotFramework)
        }
    }
}

/// The claims of an app's token.
#[derive(Debug, Serialize)]
pub(crate) struct AppClaims<'a> {
    pub(crate) aud: &'a str,
    pub(crate) iss: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) app_displayname: &'a str,
    pub(crate) appid: &'a str,
    pub(crate) appidacr: &'static str,
    pub(crate) idp: String,
    pub(crate) idtyp: &'static str,
    pub(crate) oid: &'a str,
    pub(crate) roles: Vec<&'static str>,
    pub(crate) sub: &'a str,
    pub(crate) tid: &'a str,
    pub(crate) uti: String,
    pub(crate) ver: &'static str,
}

/// Reads a request to the token endpoint.
pub(crate) fn parse(request: &Request, second: bool, own: &[&str]) -> Result<Grant, Refusal> {
    let fields = Fields::read(request)?;
    match fields.get("grant_type") {
        None => return Err(Refusal::missing("grant_type")),
        Some("client_credentials") => {}
        Some(_) => {
            let words = "The app requested an unsupported grant type. This platform knows \
                         'client_credentials'.";
            return Err(Refusal::new(400, "unsupported_grant_type", 70_003, words));
        }
    }
    let basic = basic(request)?;
    let (client, secret) = match basic {
        Some((client, secret)) => (Some(client), Some(secret)),
        None => (
            fields.get("client_id").map(str::to_owned),
            fields.get("client_secret").map(str::to_owned),
        ),
    };
    let client = client.filter(|id| !id.is_empty()).ok_or_else(|| Refusal::missing("client_id"))?;
    if secret.is_none() && fields.get("client_assertion").is_some() {
        let words = "Client assertions are not taken by this platform: use the client secret.";
        return Err(Refusal::new(401, "invalid_client", 700_027, words));
    }
    let resource = if second {
        let scope = fields.get("scope").ok_or_else(|| Refusal::missing("scope"))?;
        scope_resource(scope, own)?
    } else {
        // The first endpoint takes scopes too, where no resource is named.
        match (fields.get("resource"), fields.get("scope")) {
            (Some(resource), _) => {
                Resource::parse(resource, own).ok_or_else(|| unknown_resource(resource))?
            }
            (None, Some(scope)) if scope.contains("/.default") => scope_resource(scope, own)?,
            (None, _) => return Err(Refusal::missing("resource")),
        }
    };
    Ok(Grant { client, secret, resource })
}

fn unknown_resource(name: &str) -> Refusal {
    let words = format!(
        "The resource principal named {name} was not found in the tenant. This can happen if the \
         application has not been installed by the administrator of the tenant."
    );
    Refusal::new(400, "invalid_resource", 500_011, words)
}

/// The resource of `{resource}/.default`; libraries write two slashes where the
/// resource's own name ends in one.
fn scope_resource(scope: &str, own: &[&str]) -> Result<Resource, Refusal> {
    let wrong = || {
        let words = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have \
             a scope value with /.default suffixed to the resource identifier (application ID URI)."
        );
        Refusal::new(400, "invalid_scope", 1_002_012, words)
    };
    let mut scopes = scope.split_whitespace();
    let (Some(scope), None) = (scopes.next(), scopes.next()) else { return Err(wrong()) };
    let resource = scope.strip_suffix("/.default").ok_or_else(wrong)?;
    Resource::parse(resource, own).ok_or_else(|| unknown_resource(resource))
}

/// Client and secret of `Authorization: Basic` (RFC 6749, 2.3.1: both form-encoded).
fn basic(request: &Request) -> Result<Option<(String, String)>, Refusal> {
    let Some((scheme, rest)) = request.header("Authorization").and_then(|h| h.split_once(' '))
    else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let wrong = || {
        let words = "The Authorization header is no Basic authentication.";
        Refusal::new(400, "invalid_request", 900_023, words)
    };
    let bytes = STANDARD.decode(rest.trim()).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (client, secret) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Some((form_decode(client), form_decode(secret))))
}

/// The fields of a form.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn read(request: &Request) -> Result<Self, Refusal> {
        let bad = |code, words: String| Refusal::new(400, "invalid_request", code, words);
        if request.body.len() > FORM_BYTES_MAX {
            let words = format!("The request body has more than {FORM_BYTES_MAX} bytes.");
            return Err(Refusal { status: 413, ..bad(900_023, words) });
        }
        let content_type = request.header("content-type").unwrap_or_default();
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if !kind.is_empty() && !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let words =
                format!("The content type '{kind}' is not application/x-www-form-urlencoded.");
            return Err(bad(900_023, words));
        }
        let text = core::str::from_utf8(&request.body)
            .map_err(|_| bad(900_023, "The request body is not in UTF-8.".to_owned()))?;
        let mut fields: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (form_decode(name), form_decode(value));
            if fields.iter().any(|(known, _)| *known == name) {
                let words = format!("The request body contains the parameter '{name}' twice.");
                return Err(bad(90_100, words));
            }
            if fields.len() >= FIELDS_MAX {
                let words = format!("The request body has more than {FIELDS_MAX} parameters.");
                return Err(bad(900_023, words));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Compares without telling by the time it takes how far two secrets agree.
pub(crate) fn same_secret(known: &str, given: &str) -> bool {
    let differing = known.bytes().zip(given.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b));
    known.len() == given.len() && differing == 0
}
