//! What servers and clients of this crate have in common.

use axum::http::HeaderMap;
use callrig_signaling::http::Headers;

/// All header lines; of a value that is no text, what is text of it.
#[must_use]
pub fn headers(map: &HeaderMap) -> Headers {
    map.iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect()
}

/// Says whose cryptography TLS has in this process, before the first client or server is
/// made: two of them may be there through other crates, and then one has to be named.
pub fn choose_cryptography() {
    // An error where one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A GUID of random bits.
#[must_use]
pub fn guid() -> String {
    let hex = format!("{:032x}", rand::random::<u128>());
    let [a, b, c, d, e] = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    format!("{a}-{b}-{c}-{d}-{e}")
}
