//! The platform's login service: tokens for apps, and the places where bots look keys
//! and endpoints up. Only where the platform goes by tokens
//! ([`super::Authentication::Tokens`]).

use super::directory::{App, Permission};
use super::reply::ApiError;
use super::{Service, route};
use crate::auth::discovery::{self, Place};
use crate::auth::oauth::{self, AppClaims, Grant, Refusal, Resource};
use crate::auth::{Authority, KeyError, SigningKey, TokenError};
use crate::clock;
use crate::http::{Headers, Method, Request, Response};
use crate::id::{AppId, LegId, TenantId};
use callrig_media::time::Instant;
use serde_json::{Value, json};

use super::api::Caller;

/// Spellings of a tenant that stand for the app's own.
const EVERYBODYS: [&str; 2] = ["common", "organizations"];

impl Service {
    /// Publishes another key. It signs once those who read keys have had the time to learn
    /// of it ([`crate::auth::Tokens::announced`]); keys before it go when the last token
    /// that they signed has expired.
    ///
    /// # Errors
    /// The key is there already, there are too many, or the platform goes by names.
    pub fn add_key(&mut self, now: Instant, key: SigningKey) -> Result<(), KeyError> {
        let unix = self.unix(now);
        match &mut self.authority {
            Some(authority) => authority.add(unix, key),
            None => Err(KeyError::ByName),
        }
    }

    pub(super) fn unix(&self, now: Instant) -> i64 {
        clock::unix_seconds(self.epoch.ntp_at(now))
    }

    /// The token for a notification about a call, where the platform goes by tokens.
    pub(super) fn callback_token(
        &mut self,
        now: Instant,
        app: &AppId,
        tenant: &TenantId,
    ) -> Option<String> {
        let unix = self.unix(now);
        let authority = self.authority.as_mut()?;
        Some(authority.callback_token(unix, app, tenant).to_owned())
    }

    /// Whose token this is.
    pub(super) fn caller_of(
        &mut self,
        now: Instant,
        token: Option<&str>,
    ) -> Result<Caller, TokenError> {
        let unix = self.unix(now);
        let Some(authority) = &mut self.authority else { return Err(TokenError::Missing) };
        let claims = authority.verify(unix, token.unwrap_or_default())?;
        let tenant = claims.tenant.as_deref().ok_or(TokenError::NoClaim("tid"))?;
        let tenant = TenantId::new(tenant);
        if !self.directory.has_tenant(&tenant) {
            return Err(TokenError::Tenant(tenant.to_string()));
        }
        let app = AppId::new(claims.app.as_deref().ok_or(TokenError::NoClaim("appid"))?);
        if self.directory.app(&app).is_none() {
            return Err(TokenError::App(app.to_string()));
        }
        let has = |permission: &Permission| claims.roles.iter().any(|r| r == permission.name());
        let roles = Permission::ALL.into_iter().filter(has).collect();
        Ok(Caller { app, tenant: Some(tenant), roles: Some(roles) })
    }

    /// Whether a caller may do this in an organisation: its token must say so, and the
    /// organisation must not have changed its mind since.
    pub(super) fn caller_may(
        &self,
        caller: &Caller,
        tenant: &TenantId,
        permission: Permission,
    ) -> bool {
        caller.roles.as_ref().is_none_or(|roles| roles.contains(&permission))
            && caller.tenant.as_ref().is_none_or(|own| own == tenant)
            && self.directory.may(tenant, &caller.app, permission)
    }

    /// Answers what is for the login service; `None` if it is not.
    pub(super) fn serve_login(
        &mut self,
        now: Instant,
        request: &Request,
        name: &mut &'static str,
    ) -> Option<Response> {
        self.authority.as_ref()?;
        let (path, query) = route::path_and_query(&request.uri);
        let segments = route::segments(path)?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        let place = discovery::locate(&segments)?;
        *name = place.name();
        let wanted = if matches!(place, Place::Token { .. }) { Method::Post } else { Method::Get };
        let outcome = if request.method == wanted {
            self.login(now, request, query, &place)
        } else {
            let words = format!(
                "The endpoint only accepts {wanted} requests. Received a {} request.",
                request.method
            );
            Err(Refusal { status: 405, ..Refusal::new(400, "invalid_request", 900_561, words) })
        };
        let (status, body) = match outcome {
            Ok(body) => (200, body),
            Err(refusal) => {
                let trace = LegId::from_u128(self.random_bits()).to_string();
                let correlation = request.header("client-request-id").unwrap_or(&trace).to_owned();
                let date = clock::rfc3339(self.epoch.ntp_at(now)).replace('T', " ");
                let moment = format!("{}Z", date.get(..19).unwrap_or(&date));
                (refusal.status, refusal.body(&trace, &correlation, &moment))
            }
        };
        Some(self.login_response(request, &place, status, &body))
    }

    fn login_response(
        &mut self,
        request: &Request,
        place: &Place,
        status: u16,
        body: &Value,
    ) -> Response {
        let request_id = LegId::from_u128(self.random_bits()).to_string();
        let cache = match place {
            Place::Token { .. } => "no-store, no-cache",
            _ if status == 200 => "max-age=300, private",
            _ => "no-store",
        };
        let mut headers = Headers::from([
            ("Content-Type", "application/json; charset=utf-8"),
            ("Cache-Control", cache),
            ("x-ms-request-id", &request_id),
            ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
        ]);
        if let Some(id) = request.header("client-request-id") {
            headers.push("client-request-id", id);
        }
        if status == 405 {
            let allowed = if matches!(place, Place::Token { .. }) { "POST" } else { "GET" };
            headers.push("Allow", allowed);
        }
        Response { id: request.id, status, headers, body: body.to_string().into() }
    }

    fn login(
        &mut self,
        now: Instant,
        request: &Request,
        query: &str,
        place: &Place,
    ) -> Result<Value, Refusal> {
        let origin = route::origin(request, &self.config.base_url);
        match place {
            Place::Token { tenant, second } => self.token(now, request, tenant, *second, &origin),
            Place::Metadata { tenant, second } => {
                let everybodys = EVERYBODYS.iter().any(|name| name.eq_ignore_ascii_case(tenant));
                let id = match everybodys {
                    true => "{tenantid}".to_owned(),
                    false => self.tenant_named(tenant)?.to_string(),
                };
                Ok(discovery::metadata(&origin, tenant, &id, *second))
            }
            Place::Keys => Ok(self.published(now, &[])),
            Place::CallbackKeys => Ok(self.published(now, &["msteams"])),
            Place::CallbackMetadata => Ok(discovery::callback_metadata(&origin)),
            Place::Instance => {
                let endpoint = route::query_value(query, "authorization_endpoint");
                endpoint.and_then(|url| discovery::instance(&origin, &url)).ok_or_else(|| {
                    let words = "Unknown or invalid instance.";
                    Refusal::new(400, "invalid_instance", 50_049, words)
                })
            }
        }
    }

    fn published(&mut self, now: Instant, endorsements: &[&str]) -> Value {
        let unix = self.unix(now);
        let mut set = match &mut self.authority {
            Some(authority) => {
                authority.retire(unix);
                authority.published()
            }
            None => crate::auth::JwkSet::default(),
        };
        for key in &mut set.keys {
            key.endorsements = endorsements.iter().map(|&name| name.to_owned()).collect();
        }
        serde_json::to_value(&set).expect("keys are plain strings")
    }

    fn tenant_named(&self, text: &str) -> Result<TenantId, Refusal> {
        self.directory.tenant_named(text).cloned().ok_or_else(|| {
            let words = format!(
                "Tenant '{text}' not found. Check to make sure you have the correct tenant ID and \
                 are signing into the correct cloud."
            );
            Refusal::new(400, "invalid_request", 90_002, words)
        })
    }

    /// A token for an app that proves itself with its secret.
    fn token(
        &mut self,
        now: Instant,
        request: &Request,
        tenant: &str,
        second: bool,
        origin: &str,
    ) -> Result<Value, Refusal> {
        let own = [origin, &self.config.base_url];
        let grant = oauth::parse(request, second, &own)?;
        let id = AppId::new(&grant.client);
        let everybodys = EVERYBODYS.iter().any(|name| name.eq_ignore_ascii_case(tenant));
        let tenant = match (everybodys, self.directory.home_of(&id)) {
            (true, Some(home)) => home.clone(),
            (true, None) => return Err(unknown_app(&grant.client, tenant)),
            (false, _) => self.tenant_named(tenant)?,
        };
        let app = self.directory.app(&id);
        let app = app.ok_or_else(|| unknown_app(&grant.client, tenant.as_str()))?.clone();
        check_secret(&app, &grant)?;
        let unix = self.unix(now);
        let uti = LegId::from_u128(self.random_bits()).to_string();
        let roles = match grant.resource {
            Resource::Graph => self.directory.granted(&tenant, &app.id),
            Resource::BotFramework => Vec::new(),
        };
        let Some(authority) = &mut self.authority else {
            return Err(unknown_app(&grant.client, tenant.as_str()));
        };
        Ok(issue(authority, unix, &app, &tenant, grant.resource, roles, uti, second))
    }
}

#[expect(clippy::too_many_arguments, reason = "each is one claim of the token")]
fn issue(
    authority: &mut Authority,
    unix: i64,
    app: &App,
    tenant: &TenantId,
    resource: Resource,
    roles: Vec<&'static str>,
    uti: String,
    second: bool,
) -> Value {
    let life = i64::try_from(authority.rule().lifetime.as_secs()).unwrap_or(i64::MAX);
    let issuer = format!("https://sts.windows.net/{tenant}/");
    let claims = AppClaims {
        aud: resource.audience(),
        iss: issuer.clone(),
        iat: unix,
        nbf: unix,
        exp: unix.saturating_add(life),
        app_displayname: &app.name,
        appid: app.id.as_str(),
        appidacr: "1",
        idp: issuer,
        idtyp: "app",
        oid: app.id.as_str(),
        roles,
        sub: app.id.as_str(),
        tid: tenant.as_str(),
        uti,
        ver: "1.0",
    };
    let token = authority.sign(unix, &claims);
    if second {
        return json!({
            "token_type": "Bearer",
            "expires_in": life,
            "ext_expires_in": life,
            "access_token": token,
        });
    }
    // The first version writes its numbers as strings.
    json!({
        "token_type": "Bearer",
        "expires_in": life.to_string(),
        "ext_expires_in": life.to_string(),
        "expires_on": claims.exp.to_string(),
        "not_before": unix.to_string(),
        "resource": claims.aud,
        "access_token": token,
    })
}

fn unknown_app(client: &str, tenant: &str) -> Refusal {
    let words = format!(
        "Application with identifier '{client}' was not found in the directory '{tenant}'. This \
         can happen if the application has not been installed by the administrator of the tenant \
         or consented to by any user in the tenant."
    );
    Refusal::new(400, "unauthorized_client", 700_016, words)
}

fn check_secret(app: &App, grant: &Grant) -> Result<(), Refusal> {
    let refuse = |code, words: String| Refusal::new(401, "invalid_client", code, words);
    let Some(given) = &grant.secret else {
        let words = "'client_assertion', 'client_secret' or 'request' is required for the \
                     'client_credentials' grant type.";
        return Err(refuse(7_000_216, words.to_owned()));
    };
    match &app.secret {
        Some(known) if oauth::same_secret(known, given) => Ok(()),
        _ => {
            let words = format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is \
                 the client secret value, not the client secret ID, for a secret added to app \
                 '{}'.",
                app.id
            );
            Err(refuse(7_000_215, words))
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        let message = match &error {
            TokenError::Missing => "Access token is empty.".to_owned(),
            TokenError::TooLong(_) | TokenError::Malformed(_) => {
                format!("CompactToken parsing failed with error code: 80049217 ({error}).")
            }
            TokenError::Expired(_) => {
                "Lifetime validation failed, the token is expired.".to_owned()
            }
            TokenError::NotYetValid(_) => {
                "Lifetime validation failed, the token is not yet valid.".to_owned()
            }
            TokenError::Audience(_) => {
                format!("Access token validation failure. Invalid audience ({error}).")
            }
            TokenError::Signature | TokenError::UnknownKey(_) => {
                "Access token validation failure. Signature is invalid.".to_owned()
            }
            _ => format!("Access token validation failure: {error}."),
        };
        Self::unauthenticated(&message)
    }
}
