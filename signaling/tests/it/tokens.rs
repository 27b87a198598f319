//! Tokens, both ways: the login service, what the API takes and what it does not, the
//! token on notifications, and keys that change under way.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use callrig_signaling::auth::{
    CALLBACK_ISSUER, Expected, JwkSet, SigningKey, TokenError, Tokens, Trusted, verify,
};
use callrig_signaling::http::{Headers, Method, Request, RequestId, Response};
use callrig_signaling::service::directory::Permission;
use callrig_signaling::service::{self, Authentication, Service};
use proptest::prelude::*;
use rand::SeedableRng as _;
use serde_json::{Value, json};

use crate::world::{SERVICE_HOSTED, World, accept, config, epoch, json as body_of};

/// Keys of the tests: the platform's, one that it learns of later, and a stranger's.
pub(crate) static KEYS: LazyLock<[SigningKey; 3]> = LazyLock::new(|| {
    [1_u64, 2, 3].map(|seed| {
        let mut random = rand_pcg::Pcg64::seed_from_u64(seed);
        SigningKey::generate(|bytes| random.fill_bytes(bytes)).expect("a key comes of it")
    })
});

pub(crate) const SECRET: &str = "s3cret & +%=ä";
const CALLS: &str = "/communications/calls";

/// The moment at which every world begins, in seconds since 1970.
const BEGIN: i64 = 3_900_000_000 - 2_208_988_800;

pub(crate) fn token_config() -> service::Config {
    let mut config = config();
    for app in &mut config.directory.apps {
        app.secret = Some(SECRET.to_owned());
    }
    config.authentication = Authentication::Tokens(Tokens::new(vec![KEYS[0].clone()]));
    config
}

fn world() -> World {
    World::with_webhook(token_config(), 1, Box::new(accept))
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            b' ' => "+".to_owned(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    pairs.join("&")
}

const V2: [(&str, &str); 4] = [
    ("grant_type", "client_credentials"),
    ("client_id", "bot"),
    ("client_secret", SECRET),
    ("scope", "https://graph.microsoft.com/.default"),
];

fn post(world: &mut World, path: &str, body: &str) -> Response {
    world.request(Request {
        id: RequestId(0),
        method: Method::Post,
        uri: format!("https://login.microsoftonline.com{path}"),
        headers: [("Content-Type", "application/x-www-form-urlencoded")].into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    })
}

fn get(world: &mut World, uri: &str) -> Response {
    let uri = uri.to_owned();
    let (id, headers) = (RequestId(0), Headers::new());
    world.request(Request { id, method: Method::Get, uri, headers, body: Bytes::new() })
}

fn token(world: &mut World) -> String {
    let response = post(world, "/contoso/oauth2/v2.0/token", &form(&V2));
    assert_eq!(response.status, 200, "{:?}", response.body);
    body_of(&response)["access_token"].as_str().expect("there is a token").to_owned()
}

fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("a token has three parts");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("they are in base64url");
    serde_json::from_slice(&bytes).expect("claims are JSON")
}

/// What the platform signs for the app `bot`, with changes.
fn claims(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = json!({
        "aud": "https://graph.microsoft.com",
        "iss": "https://sts.windows.net/contoso/",
        "iat": BEGIN, "nbf": BEGIN, "exp": BEGIN + 3599,
        "appid": "bot", "tid": "contoso",
        "roles": Permission::ALL.map(Permission::name),
    });
    change(&mut claims);
    claims
}

fn with_header(header: &Value, token: &str) -> String {
    let rest = token.split_once('.').expect("a token has three parts").1;
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

const NEW_CALL: &str = r##"{"callbackUri":"https://bot.test/api/calls",
    "requestedModalities":["audio"], "tenantId":"contoso",
    "targets":[{"identity":{"user":{"id":"ann"}}}],
    "mediaConfig":{"@odata.type":"#microsoft.graph.serviceHostedMediaConfig"}}"##;

#[test]
fn every_spelling_of_the_token_endpoint_gives_a_token_that_the_api_takes() {
    let mut world = world();
    let v1 = |resource: &str| form(&[V2[0], V2[1], V2[2], ("resource", resource)]);
    let v2 = |scope: &str| form(&[V2[0], V2[1], V2[2], ("scope", scope)]);
    for (path, body) in [
        ("/contoso/oauth2/token", v1("https://graph.microsoft.com")),
        ("/contoso/oauth2/token", v1("https://graph.microsoft.com/")),
        ("/contoso/oauth2/token", v1("00000003-0000-0000-c000-000000000000")),
        ("/CONTOSO.onmicrosoft.com/oauth2/token", v1("https://graph.test")),
        ("/contoso/oauth2/v2.0/token", v2("https://graph.microsoft.com/.default")),
        ("/common/oauth2/v2.0/token", v2("https://graph.microsoft.com//.default")),
        ("/organizations/oauth2/v2.0/token", v2("https://graph.test/.default")),
        ("/contoso.com/oauth2/v2.0/token", v2("https://login.microsoftonline.com/.default")),
    ] {
        let response = post(&mut world, path, &body);
        let answer = body_of(&response);
        assert_eq!(response.status, 200, "{path} {body}: {answer}");
        assert_eq!(answer["token_type"], "Bearer");
        let expected = if path.contains("v2.0") { json!(3599) } else { json!("3599") };
        assert_eq!(answer["expires_in"], expected, "{path}");
        assert_eq!(response.header("cache-control"), Some("no-store, no-cache"));
        let token = answer["access_token"].as_str().expect("there is a token");
        let claims = claims_of(token);
        assert_eq!(claims["aud"], "https://graph.microsoft.com");
        assert_eq!(claims["tid"], "contoso");
        assert_eq!(claims["appid"], "bot");
        assert_eq!(claims["exp"].as_i64(), Some(BEGIN + 3599));
        assert_eq!(claims["roles"].as_array().map(Vec::len), Some(Permission::ALL.len()));
        let created = world.api_as(token, Method::Post, CALLS, NEW_CALL);
        assert_eq!(created.status, 201, "{path}: {:?}", created.body);
    }
}

#[test]
fn a_secret_may_come_in_the_header() {
    let mut world = world();
    let basic = STANDARD.encode(format!("bot:{}", encode(SECRET)));
    let response = world.request(Request {
        id: RequestId(0),
        method: Method::Post,
        uri: "/contoso/oauth2/v2.0/token".into(),
        headers: [("authorization", format!("Basic {basic}"))].into(),
        body: form(&[V2[0], V2[3]]).into(),
    });
    assert_eq!(response.status, 200, "{:?}", response.body);
}

#[test]
fn what_the_token_endpoint_refuses_it_refuses_in_the_words_of_the_login_service() {
    let mut world = world();
    let without = |name: &str| {
        let fields: Vec<_> = V2.into_iter().filter(|(field, _)| *field != name).collect();
        form(&fields)
    };
    let with = |name: &str, value: &str| {
        let fields: Vec<_> =
            V2.into_iter().map(|(n, v)| (n, if n == name { value } else { v })).collect();
        form(&fields)
    };
    let scope = |text: &str| with("scope", text);
    let v2 = "/contoso/oauth2/v2.0/token";
    for (path, body, status, error, code) in [
        (v2, String::new(), 400, "invalid_request", 900_144),
        (v2, without("grant_type"), 400, "invalid_request", 900_144),
        (v2, without("client_id"), 400, "invalid_request", 900_144),
        (v2, without("scope"), 400, "invalid_request", 900_144),
        ("/contoso/oauth2/token", without("scope"), 400, "invalid_request", 900_144),
        (v2, without("client_secret"), 401, "invalid_client", 7_000_216),
        (v2, with("client_secret", "wrong"), 401, "invalid_client", 7_000_215),
        (v2, with("client_secret", "s3cret & +%=äx"), 401, "invalid_client", 7_000_215),
        (v2, with("client_id", "nobody"), 400, "unauthorized_client", 700_016),
        (v2, with("grant_type", "password"), 400, "unsupported_grant_type", 70_003),
        (
            v2,
            scope("https://graph.microsoft.com/Calls.Initiate.All"),
            400,
            "invalid_scope",
            1_002_012,
        ),
        (v2, scope("openid https://graph.microsoft.com/.default"), 400, "invalid_scope", 1_002_012),
        (v2, scope("https://vault.azure.net/.default"), 400, "invalid_resource", 500_011),
        ("/fabrikam/oauth2/v2.0/token", form(&V2), 400, "invalid_request", 90_002),
        (v2, format!("{}&scope=x", form(&V2)), 400, "invalid_request", 90_100),
        (v2, "x=1&".repeat(30_000), 413, "invalid_request", 900_023),
    ] {
        let response = post(&mut world, path, &body);
        let answer = body_of(&response);
        let shown = &body[..body.len().min(200)];
        assert_eq!(response.status, status, "{path} {shown}: {answer}");
        assert_eq!(answer["error"], error, "{path} {shown}: {answer}");
        assert_eq!(answer["error_codes"], json!([code]), "{path} {shown}: {answer}");
        let words = answer["error_description"].as_str().unwrap_or_default();
        assert!(words.starts_with(&format!("AADSTS{code}: ")), "{words}");
        assert!(!words.contains(SECRET), "the answer gives the secret away");
    }
    let response = get(&mut world, "https://login.microsoftonline.com/contoso/oauth2/token");
    assert_eq!((response.status, response.header("allow")), (405, Some("POST")));
    assert_eq!(world.service.load().calls, 0);
}

#[test]
fn keys_and_endpoints_are_where_bots_look_them_up() {
    let mut world = world();
    for (uri, issuer) in [
        (
            "https://login.microsoftonline.com/contoso/v2.0/.well-known/openid-configuration",
            "https://login.microsoftonline.com/contoso/v2.0",
        ),
        (
            "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration",
            "https://login.microsoftonline.com/{tenantid}/v2.0",
        ),
        (
            "https://127.0.0.1:8443/contoso.onmicrosoft.com/.well-known/openid-configuration",
            "https://sts.windows.net/contoso/",
        ),
        ("https://api.aps.skype.com/v1/.well-known/OpenIdConfiguration", CALLBACK_ISSUER),
        ("https://login.botframework.com/v1/.well-known/openidconfiguration", CALLBACK_ISSUER),
    ] {
        let response = get(&mut world, uri);
        let metadata = body_of(&response);
        assert_eq!(response.status, 200, "{uri}: {metadata}");
        assert_eq!(metadata["issuer"], issuer, "{uri}");
        // Addresses are those of the host that was asked.
        let keys_uri = metadata["jwks_uri"].as_str().expect("it says where keys are");
        let host = uri.split('/').nth(2);
        assert_eq!(keys_uri.split('/').nth(2), host, "{uri}");
        let keys = get(&mut world, keys_uri);
        let set: JwkSet = serde_json::from_slice(&keys.body).expect("keys are a JWK set");
        assert_eq!(set.keys.len(), 1, "{keys_uri}");
        assert_eq!(set.keys[0].kid.as_deref(), Some(KEYS[0].id()));
        assert!(!Trusted::new(&set).is_empty());
    }
    let instance = "https://login.microsoftonline.com/common/discovery/instance?api-version=1.1\
                    &authorization_endpoint=https%3A%2F%2Flogin.microsoftonline.com%2Fcontoso";
    let response = get(&mut world, instance);
    assert_eq!(
        body_of(&response)["tenant_discovery_endpoint"],
        "https://login.microsoftonline.com/contoso/v2.0/.well-known/openid-configuration"
    );
    let unknown = "https://login.microsoftonline.com/nobody/v2.0/.well-known/openid-configuration";
    assert_eq!(get(&mut world, unknown).status, 400);
}

#[test]
fn a_platform_without_tokens_has_no_login_service() {
    let mut world = World::with_webhook(config(), 1, Box::new(accept));
    assert_eq!(get(&mut world, "https://graph.test/v1/keys").status, 401);
    world.ring();
    assert_eq!(world.notifications[0].1.bearer(), None);
}

/// What is wrong with a token, the token, and words of the answer.
type Forgery = (&'static str, String, &'static str);

/// Tokens whose signature is not the platform's, or none.
fn unsigned() -> Vec<Forgery> {
    let (own, stranger) = (&KEYS[0], &KEYS[2]);
    let good = own.sign(&claims(|_| {}));
    let kid = own.id();
    let n = own.public().n.clone().unwrap_or_default();
    let hs256 = |secret: &[u8]| {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = Some(kid.to_owned());
        let key = jsonwebtoken::EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&header, &claims(|_| {}), &key).expect("it can be signed")
    };
    let modulus = URL_SAFE_NO_PAD.decode(&n).expect("the modulus is in base64url");
    let without = with_header(&json!({"alg": "none", "typ": "JWT", "kid": kid}), &good);
    let without = without.rsplit_once('.').expect("a token has three parts").0.to_owned();
    let swapped = {
        let mut parts: Vec<_> = good.split('.').collect();
        let claims = URL_SAFE_NO_PAD.encode(claims(|c| c["appid"] = json!("other")).to_string());
        parts[1] = &claims;
        parts.join(".")
    };
    vec![
        ("none", String::new(), "Access token is empty."),
        ("no token", "bot".into(), "CompactToken parsing failed"),
        (
            "two parts",
            good.rsplit_once('.').map(|(t, _)| t.to_owned()).unwrap_or_default(),
            "Compact",
        ),
        ("unsigned", format!("{without}."), "not signed with RS256"),
        ("NONE", with_header(&json!({"alg": "NONE", "kid": kid}), &good), "not signed with RS256"),
        ("HS256 with the modulus", hs256(&modulus), "not signed with RS256"),
        ("HS256 with the modulus as text", hs256(n.as_bytes()), "not signed with RS256"),
        ("another algorithm", with_header(&json!({"alg": "PS256", "kid": kid}), &good), "RS256"),
        ("a stranger's key", stranger.sign(&claims(|_| {})), "Signature is invalid"),
        (
            "a stranger's key under our name",
            with_header(
                &json!({"alg": "RS256", "typ": "JWT", "kid": kid}),
                &stranger.sign(&claims(|_| {})),
            ),
            "Signature is invalid",
        ),
        (
            "a key that it brings itself",
            with_header(
                &json!({"alg": "RS256", "kid": "x", "jku": "https://evil.test/keys"}),
                &stranger.sign(&claims(|_| {})),
            ),
            "Signature is invalid",
        ),
        ("no key named", with_header(&json!({"alg": "RS256"}), &good), "Signature is invalid"),
        (
            "critical",
            with_header(&json!({"alg": "RS256", "kid": kid, "crit": ["b64"]}), &good),
            "b64",
        ),
        ("other claims under its signature", swapped, "Signature is invalid"),
        ("huge", "a".repeat(100_000), "CompactToken parsing failed"),
    ]
}

/// Tokens that the platform signed, but not for this.
fn misdirected() -> Vec<Forgery> {
    let changed = |change: fn(&mut Value)| KEYS[0].sign(&claims(change));
    vec![
        ("expired", changed(|c| c["exp"] = json!(BEGIN - 301)), "the token is expired"),
        ("not yet valid", changed(|c| c["nbf"] = json!(BEGIN + 301)), "not yet valid"),
        ("without exp", changed(|c| c["exp"] = Value::Null), "no claim 'exp'"),
        ("exp as text", changed(|c| c["exp"] = json!("2100")), "CompactToken"),
        ("for somebody else", changed(|c| c["aud"] = json!("https://vault.test")), "audience"),
        (
            "for the Bot Framework",
            changed(|c| c["aud"] = json!("https://api.botframework.com")),
            "audience",
        ),
        ("for nobody", changed(|c| c["aud"] = json!([])), "audience"),
        ("without audience", changed(|c| c["aud"] = Value::Null), "no claim 'aud'"),
        (
            "from somebody else",
            changed(|c| c["iss"] = json!("https://sts.evil.test/contoso/")),
            "issuer",
        ),
        ("from the callbacks' issuer", changed(|c| c["iss"] = json!(CALLBACK_ISSUER)), "issuer"),
        ("of another tenant than its issuer", changed(|c| c["tid"] = json!("fabrikam")), "issuer"),
        (
            "of no tenant of ours",
            changed(|c| {
                c["tid"] = json!("fabrikam");
                c["iss"] = json!("https://sts.windows.net/fabrikam/");
            }),
            "tenant",
        ),
        ("of no app", changed(|c| c["appid"] = Value::Null), "no claim 'appid'"),
        ("of no app of ours", changed(|c| c["appid"] = json!("nobody")), "app"),
    ]
}

#[test]
fn forged_tokens_are_refused_and_change_nothing() {
    let mut world = world();
    let good = KEYS[0].sign(&claims(|_| {}));
    let (call, _) = world.ring();
    let callback = world.notifications[0].1.bearer().unwrap_or_default().to_owned();
    let answer = format!("{CALLS}/{call}/answer");
    let call = format!("{CALLS}/{call}");
    let before = body_of(&world.api_as(&good, Method::Get, &call, ""));
    let forged = |world: &mut World, what: &str, token: &str, words: &str| {
        for (method, path, body) in [
            (Method::Post, CALLS, NEW_CALL),
            (Method::Post, answer.as_str(), SERVICE_HOSTED),
            (Method::Delete, call.as_str(), ""),
        ] {
            let response = world.api_as(token, method, path, body);
            let error = body_of(&response);
            assert_eq!(response.status, 401, "{what}: {error}");
            assert_eq!(error["error"]["code"], "InvalidAuthenticationToken", "{what}: {error}");
            let message = error["error"]["message"].as_str().unwrap_or_default();
            assert!(message.contains(words), "{what}: {message}");
            assert!(response.header("WWW-Authenticate").is_some_and(|h| h.starts_with("Bearer ")));
        }
    };
    for (what, token, words) in &[unsigned(), misdirected()].concat() {
        forged(&mut world, what, token, words);
    }
    forged(&mut world, "the token of a notification", &callback, "audience");
    assert_eq!(body_of(&world.api_as(&good, Method::Get, &call, "")), before);
    assert_eq!(world.service.load().calls, 1);
    assert_eq!(world.api_as(&good, Method::Post, &answer, SERVICE_HOSTED).status, 202);
}

#[test]
fn a_token_says_what_its_app_may_do_as_long_as_the_organisation_agrees() {
    let mut world = world();
    let without_roles = KEYS[0].sign(&claims(|c| c["roles"] = json!(["Calls.AccessMedia.All"])));
    let refused = world.api_as(&without_roles, Method::Post, CALLS, NEW_CALL);
    assert_eq!((refused.status, body_of(&refused)["error"]["code"].as_str()), (403, Some("7504")));
    assert_eq!(world.service.load(), service::Load::default());
    let token = token(&mut world);
    let none = std::collections::BTreeSet::new();
    world.service.grant("contoso".into(), "bot".into(), none).expect("the app is there");
    assert_eq!(world.api_as(&token, Method::Post, CALLS, NEW_CALL).status, 403);
}

#[test]
fn another_organisations_token_does_not_reach_a_call() {
    let mut config = token_config();
    let mut second = config.directory.tenants[0].clone();
    (second.id, second.name) = ("fabrikam".into(), "Fabrikam".into());
    second.users.clear();
    config.directory.tenants.push(second);
    let mut world = World::with_webhook(config, 1, Box::new(accept));
    let (call, _) = world.ring();
    let response = post(&mut world, "/fabrikam.com/oauth2/v2.0/token", &form(&V2));
    let body = body_of(&response);
    let token = body["access_token"].as_str().expect("there is a token");
    let read = world.api_as(token, Method::Get, &format!("{CALLS}/{call}"), "");
    assert_eq!((read.status, body_of(&read)["error"]["code"].as_str()), (403, Some("7505")));
    assert_eq!(world.api_as(token, Method::Post, CALLS, NEW_CALL).status, 403);
}

/// What a bot checks of a notification.
fn check_callback(world: &mut World, request: &Request) -> Result<String, TokenError> {
    let keys = get(world, "https://api.aps.skype.com/v1/keys");
    let set: JwkSet = serde_json::from_slice(&keys.body).expect("keys are a JWK set");
    let now_unix = BEGIN + i64::try_from(world.now.elapsed().as_secs()).unwrap_or(0);
    let expected =
        Expected { audiences: &["bot"], issuers: &[CALLBACK_ISSUER], now_unix, skew_seconds: 0 };
    let token = request.bearer().unwrap_or_default();
    verify(token, &Trusted::new(&set), &expected).map(|claims| claims.key)
}

#[test]
fn notifications_carry_a_token_that_is_signed_once_for_many() {
    let mut world = world();
    let token = token(&mut world);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (call, address) = world.ring();
        let answer = format!("{CALLS}/{call}/answer");
        assert_eq!(world.api_as(&token, Method::Post, &answer, SERVICE_HOSTED).status, 202);
        world.run_ms(500);
        world.hang_up(address);
        world.run_ms(500);
    }
    let sent: Vec<_> = world.notifications.iter().map(|(_, request)| request.clone()).collect();
    assert!(sent.len() >= 9);
    for request in &sent {
        check_callback(&mut world, request).expect("a bot believes it");
        seen.push(request.bearer().unwrap_or_default().to_owned());
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "one signature serves them all");
    let claims = claims_of(&seen[0]);
    assert_eq!(claims["aud"], "bot");
    assert_eq!(claims["iss"], CALLBACK_ISSUER);
    assert_eq!(claims["tid"], "contoso");
    assert_eq!(claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(e, i)| e - i), Some(3900));
}

#[test]
fn keys_change_without_dropping_a_call() {
    let mut world = world();
    let mut old = token(&mut world);
    let (call, _) = world.ring();
    let answer = format!("{CALLS}/{call}/answer");
    assert_eq!(world.api_as(&old, Method::Post, &answer, SERVICE_HOSTED).status, 202);
    world.run_ms(500);
    world.service.add_key(world.now, KEYS[1].clone()).expect("there is room");
    assert!(world.service.add_key(world.now, KEYS[1].clone()).is_err(), "it is there already");
    let mut signers = Vec::new();
    // Two hours of a call: a new token every half an hour, a notification every five
    // minutes (another call that nobody answers), the same call alive throughout.
    for step in 0..24 {
        let next = token(&mut world);
        for token in [&old, &next] {
            let alive = format!("{CALLS}/{call}/keepAlive");
            assert_eq!(world.api_as(token, Method::Post, &alive, "").status, 200, "step {step}");
        }
        if step % 6 == 5 {
            old = next;
        }
        world.notifications.clear();
        world.ring();
        world.run(Duration::from_secs(300));
        let sent: Vec<_> = world.notifications.iter().map(|(_, r)| r.clone()).collect();
        for request in sent {
            signers.push(check_callback(&mut world, &request).expect("a bot believes it"));
        }
    }
    signers.dedup();
    assert_eq!(signers, [KEYS[0].id(), KEYS[1].id()], "the new key took over once");
    let keys = get(&mut world, "https://api.aps.skype.com/v1/keys");
    let set: JwkSet = serde_json::from_slice(&keys.body).expect("keys are a JWK set");
    assert_eq!(set.keys.len(), 1, "the old key is gone");
    let by_old_key = KEYS[0].sign(&claims(|c| c["exp"] = json!(BEGIN + 100_000)));
    let path = format!("{CALLS}/{call}");
    assert_eq!(world.api_as(&by_old_key, Method::Get, &path, "").status, 401);
    assert!(world.ended().iter().all(|ended| *ended != (200, 0)), "only unanswered calls ended");
}

#[test]
fn a_platform_that_goes_by_tokens_needs_a_key() {
    let config = service::Config {
        authentication: Authentication::Tokens(Tokens::new(Vec::new())),
        ..config()
    };
    assert!(matches!(Service::new(config, epoch(), 1), Err(service::ConfigError::NoKeys)));
}

#[test]
fn keys_are_read_in_their_usual_forms_and_others_are_refused() {
    assert!(SigningKey::from_pkcs8_pem("nonsense").is_err());
    assert!(SigningKey::from_pkcs8_der(&[0x30, 0x00]).is_err());
    assert_ne!(KEYS[0], KEYS[1]);
    assert!(!format!("{:?}", KEYS[0]).contains("rivate"));
}

fn trusted() -> Trusted {
    Trusted::new(&JwkSet { keys: vec![KEYS[0].public().clone()] })
}

fn anything() -> Expected<'static> {
    Expected {
        audiences: &["https://graph.microsoft.com"],
        issuers: &["https://sts.windows.net/{tid}/"],
        now_unix: BEGIN,
        skew_seconds: 300,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_are_a_token(text in "\\PC{0,300}|[A-Za-z0-9_-]{0,80}(\\.[A-Za-z0-9_-]{0,80}){0,4}") {
        prop_assert!(verify(&text, &trusted(), &anything()).is_err());
    }

    #[test]
    fn a_token_with_a_changed_byte_is_none(at in any::<proptest::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        static GOOD: LazyLock<String> = LazyLock::new(|| KEYS[0].sign(&claims(|_| {})));
        prop_assert!(verify(&GOOD, &trusted(), &anything()).is_ok());
        let at = at.index(GOOD.len());
        let mut changed = GOOD.clone();
        changed.replace_range(at..=at, &to);
        // The last character of a signature of 256 bytes has bits that say nothing.
        prop_assume!(changed != *GOOD && at + 1 < GOOD.len());
        prop_assert!(verify(&changed, &trusted(), &anything()).is_err());
    }

    #[test]
    fn headers_and_claims_of_any_json_do_no_harm(
        header in any_json(), claims in any_json(), signature in "[A-Za-z0-9_-]{0,400}",
    ) {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let token = format!("{}.{}.{signature}", part(&header), part(&claims));
        prop_assert!(verify(&token, &trusted(), &anything()).is_err());
        // Under our own signature it is only the claims that are looked at.
        let _ = verify(&KEYS[0].sign(&claims), &trusted(), &anything());
    }

    #[test]
    fn published_keys_of_any_json_do_no_harm(keys in proptest::collection::vec(any_json(), 0..5)) {
        if let Ok(set) = serde_json::from_value::<JwkSet>(json!({"keys": keys})) {
            let _ = verify(&KEYS[0].sign(&claims(|_| {})), &Trusted::new(&set), &anything());
        }
    }

    #[test]
    fn forms_of_any_bytes_are_answered(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut world = world();
        let response = world.request(Request {
            id: RequestId(0),
            method: Method::Post,
            uri: "/contoso/oauth2/v2.0/token".into(),
            headers: Headers::new(),
            body: body.into(),
        });
        prop_assert!((400..500).contains(&response.status));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "RS256|none|HS256|RSA|AQAB|bot|[a-zA-Z0-9_-]{0,40}".prop_map(Value::from),
    ];
    let name = "alg|kid|typ|crit|jwk|aud|iss|exp|nbf|tid|appid|roles|kty|use|n|e|[a-z]{0,5}";
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
