//! Where bots look keys and endpoints up: the login service's OpenID metadata (OpenID
//! Connect Discovery 1.0), its keys and MSAL's instance discovery, and the metadata of
//! the service that signs notifications. Told apart by path alone, so that one platform
//! answers under all the host names, and with addresses of the host that was asked.

use serde_json::{Value, json};

use super::jwt::CALLBACK_ISSUER;

/// What such a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/{tenant}/oauth2/token`, `/{tenant}/oauth2/v2.0/token`
    Token { tenant: String, second: bool },
    /// `/{tenant}[/v2.0]/.well-known/openid-configuration`
    Metadata { tenant: String, second: bool },
    /// `/{tenant}/discovery[/v2.0]/keys`
    Keys,
    /// `/common/discovery/instance`
    Instance,
    /// `/v1/.well-known/OpenIdConfiguration`
    CallbackMetadata,
    /// `/v1/keys`, and `/v1/.well-known/keys` as the Bot Framework has it.
    CallbackKeys,
}

impl Place {
    /// Its name in traces and metrics.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::Metadata { .. } | Self::CallbackMetadata => "openid-configuration",
            Self::Keys | Self::CallbackKeys => "keys",
            Self::Instance => "instance",
        }
    }
}

/// What these segments of a path mean; `None` if they are nothing of ours.
pub(crate) fn locate(segments: &[&str]) -> Option<Place> {
    let lower: Vec<String> = segments.iter().map(|s| s.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let tenant = || segments.first().map(|&s| s.to_owned()).unwrap_or_default();
    Some(match lower.as_slice() {
        ["v1", ".well-known", "openidconfiguration" | "openid-configuration"] => {
            Place::CallbackMetadata
        }
        ["v1", "keys"] | ["v1", ".well-known", "keys"] => Place::CallbackKeys,
        [_, "oauth2", "token"] => Place::Token { tenant: tenant(), second: false },
        [_, "oauth2", "v2.0", "token"] => Place::Token { tenant: tenant(), second: true },
        [_, ".well-known", "openid-configuration"] => {
            Place::Metadata { tenant: tenant(), second: false }
        }
        [_, "v2.0", ".well-known", "openid-configuration"] => {
            Place::Metadata { tenant: tenant(), second: true }
        }
        [_, "discovery", "keys"] | [_, "discovery", "v2.0", "keys"] => Place::Keys,
        ["common", "discovery", "instance"] => Place::Instance,
        _ => return None,
    })
}

/// The metadata of a tenant; `tenant` is its id, or `{tenantid}` for those paths that
/// are everybody's.
pub(crate) fn metadata(origin: &str, path_tenant: &str, tenant: &str, second: bool) -> Value {
    let version = if second { "/v2.0" } else { "" };
    let issuer = if second {
        format!("{origin}/{tenant}/v2.0")
    } else {
        format!("https://sts.windows.net/{tenant}/")
    };
    json!({
        "token_endpoint": format!("{origin}/{path_tenant}/oauth2{version}/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "jwks_uri": format!("{origin}/{path_tenant}/discovery{version}/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "grant_types_supported": ["client_credentials"],
        "issuer": issuer,
        "authorization_endpoint": format!("{origin}/{path_tenant}/oauth2{version}/authorize"),
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "tid", "appid", "roles"],
        "tenant_region_scope": null,
        "cloud_instance_name": "microsoftonline.com",
        "msgraph_host": "graph.microsoft.com",
    })
}

/// The metadata of the service that signs notifications. Its issuer is not the host that
/// serves it, here as there.
pub(crate) fn callback_metadata(origin: &str) -> Value {
    json!({
        "issuer": CALLBACK_ISSUER,
        "authorization_endpoint": "https://invalid.botframework.com",
        "jwks_uri": format!("{origin}/v1/keys"),
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
    })
}

/// What MSAL asks before it trusts a login host: where that host's metadata is, and which
/// names it goes by.
pub(crate) fn instance(origin: &str, endpoint: &str) -> Option<Value> {
    let (scheme, rest) = endpoint.split_once("://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let tenant = path.split('/').next().filter(|tenant| !tenant.is_empty()).unwrap_or("common");
    let own = origin.split_once("://").map_or(origin, |(_, host)| host);
    let microsoft = ["login.microsoftonline.com", "login.windows.net", "sts.windows.net"];
    if !host.eq_ignore_ascii_case(own) && !microsoft.iter().any(|m| host.eq_ignore_ascii_case(m)) {
        return None;
    }
    Some(json!({
        "tenant_discovery_endpoint":
            format!("{scheme}://{host}/{tenant}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [
            {
                "preferred_network": host,
                "preferred_cache": host,
                "aliases": [host],
            },
        ],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_any_case_and_nothing_else_is() {
        let token = |second| Some(Place::Token { tenant: "Contoso".to_owned(), second });
        assert_eq!(locate(&["Contoso", "oauth2", "token"]), token(false));
        assert_eq!(locate(&["Contoso", "OAuth2", "v2.0", "Token"]), token(true));
        let path = ["v1", ".well-known", "OpenIdConfiguration"];
        assert_eq!(locate(&path), Some(Place::CallbackMetadata));
        assert_eq!(locate(&["v1", "keys"]), Some(Place::CallbackKeys));
        assert_eq!(locate(&["common", "discovery", "v2.0", "keys"]), Some(Place::Keys));
        assert_eq!(locate(&["common", "discovery", "instance"]), Some(Place::Instance));
        for path in [&["v1.0", "communications", "calls"][..], &["beta", "app", "calls"], &[]] {
            assert_eq!(locate(path), None, "{path:?}");
        }
    }

    #[test]
    fn instances_are_known_by_microsofts_names_and_by_our_own() {
        let own = "https://127.0.0.1:8443";
        for (endpoint, known) in [
            ("https://login.microsoftonline.com/contoso/oauth2/v2.0/authorize", true),
            ("https://127.0.0.1:8443/contoso", true),
            ("https://evil.test/contoso", false),
            ("nonsense", false),
        ] {
            assert_eq!(instance(own, endpoint).is_some(), known, "{endpoint}");
        }
    }
}
