//! The `blob` of app-hosted media: base64 of an RTCSessionDescriptionInit,
//! `{"type":"offer","sdp":"…"}` (W3C WebRTC section 4.6.2). The real platform's blob
//! describes a private media plane; such a one is refused with words that say so.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use callrig_media::description::Description;
use callrig_media::transport::sdp;
use serde::{Deserialize, Serialize};

/// How large a blob may be, in bytes.
pub const BLOB_BYTES_MAX: usize = 256 * 1024;

/// The number in the `o=` line; a description of another call has another address.
const SESSION_ID: u64 = 1;

/// Which half of a negotiation a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What a side could do.
    Offer,
    /// What the other side makes of it.
    Answer,
}

#[derive(Serialize, Deserialize)]
struct Init {
    #[serde(rename = "type")]
    kind: Kind,
    sdp: String,
}

/// Why a blob cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Larger than [`BLOB_BYTES_MAX`].
    #[error("it has {0} bytes; the limit is {BLOB_BYTES_MAX}")]
    TooLarge(usize),
    /// A blob of the real platform's media library.
    #[error(
        "it describes Microsoft's private media plane; this platform needs base64 of \
         {{\"type\":\"offer\",\"sdp\":\"…\"}}"
    )]
    Private,
    /// Neither base64 nor JSON.
    #[error("it is not base64 of {{\"type\":\"offer\",\"sdp\":\"…\"}}: {0}")]
    Format(String),
    /// SDP that cannot be used.
    #[error("its SDP cannot be used: {0}")]
    Sdp(#[from] sdp::ParseError),
}

/// Reads a blob.
///
/// # Errors
/// What is wrong with it, for the app's developer.
pub fn parse(blob: &str) -> Result<Description, BlobError> {
    let (_, sdp) = unwrap(blob)?;
    Ok(sdp::parse(&sdp)?)
}

/// The SDP in a blob, and which half of a negotiation it is.
///
/// # Errors
/// What is wrong with it, for the app's developer.
pub fn unwrap(blob: &str) -> Result<(Kind, String), BlobError> {
    if blob.len() > BLOB_BYTES_MAX {
        return Err(BlobError::TooLarge(blob.len()));
    }
    let blob = blob.trim();
    let text = if blob.starts_with('{') { blob.as_bytes().to_vec() } else { decode(blob)? };
    if contains(&text, b"mpUri") || contains(&text, b"MediaProcessor") {
        return Err(BlobError::Private);
    }
    let init: Init =
        serde_json::from_slice(&text).map_err(|error| BlobError::Format(error.to_string()))?;
    Ok((init.kind, init.sdp))
}

fn decode(blob: &str) -> Result<Vec<u8>, BlobError> {
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(blob).ok())
        .ok_or_else(|| BlobError::Format("it is not base64".to_owned()))
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// Writes a blob.
#[must_use]
pub fn write(kind: Kind, description: &Description) -> String {
    wrap(kind, &sdp::write(description, SESSION_ID))
}

/// Makes a blob of SDP.
#[must_use]
pub fn wrap(kind: Kind, sdp: &str) -> String {
    let init = Init { kind, sdp: sdp.to_owned() };
    STANDARD.encode(serde_json::to_vec(&init).expect("two strings are JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_read_as_it_was_written_also_without_its_base64() {
        let description = Description::audio(([192, 0, 2, 1], 4000).into());
        let blob = write(Kind::Offer, &description);
        assert_eq!(parse(&blob), Ok(description.clone()));
        let json = STANDARD.decode(&blob).expect("we wrote it");
        let json = String::from_utf8(json).expect("JSON is UTF-8");
        assert_eq!(parse(&json), Ok(description));
    }

    #[test]
    fn a_private_blob_is_told_what_is_wanted_instead() {
        let private = r#"{"mpUri":"net.tcp://x:8445/MediaProcessor"}"#;
        assert_eq!(parse(&STANDARD.encode(private)), Err(BlobError::Private));
        assert!(matches!(parse("<Media Session Configuration Blob>"), Err(BlobError::Format(_))));
        assert!(matches!(parse(&"A".repeat(BLOB_BYTES_MAX + 1)), Err(BlobError::TooLarge(_))));
    }
}
