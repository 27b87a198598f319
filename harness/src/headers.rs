//! Header lines as servers and clients have them, and as the machines take them.

use axum::http::HeaderMap;
use callrig_signaling::http::Headers;

/// All lines; of a value that is no text, what is text of it.
#[must_use]
pub fn read(map: &HeaderMap) -> Headers {
    map.iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect()
}
