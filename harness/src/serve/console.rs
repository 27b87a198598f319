//! The page that `serve` shows: a softphone that calls bots from a browser, and what happens
//! meanwhile. Its files are part of the binary; it asks for nothing but the control API, and
//! may load nothing from elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Live;

/// Nothing of anybody else's, and nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; media-src 'self' blob: mediastream:; base-uri 'none'; \
                      frame-ancestors 'none'; form-action 'none'";

struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($name:literal: $kind:literal),+ $(,)?) => {
        [$(File {
            name: $name,
            kind: $kind,
            text: include_str!(concat!("../../console/", $name)),
        }),+]
    };
}

static FILES: [File; 6] = files! {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "phone.js": "text/javascript; charset=utf-8",
    "rig.js": "text/javascript; charset=utf-8",
    "statistics.js": "text/javascript; charset=utf-8",
    "timeline.js": "text/javascript; charset=utf-8",
};

const PAGE: &str = include_str!("../../console/index.html");

/// The page and its files.
pub fn router() -> Router<Arc<Live>> {
    Router::new()
        .route("/", get(async || respond("text/html; charset=utf-8", PAGE)))
        .route("/console/{file}", get(file))
}

async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => respond(file.kind, file.text),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn respond(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_page_names_is_there() {
        let texts = FILES.iter().map(|file| file.text).chain([PAGE]);
        let mut named = 0;
        for text in texts {
            for part in text.split(['\'', '"']).filter(|part| {
                (part.starts_with("./") || part.starts_with("console/")) && !part.contains(' ')
            }) {
                let name = part.rsplit('/').next().unwrap_or_default();
                assert!(FILES.iter().any(|file| file.name == name), "{part}");
                named += 1;
            }
        }
        assert!(named >= FILES.len(), "{named}");
    }
}
