//! What may be wrong with a text, with the line at fault.

use core::net::SocketAddr;

use super::{FORMATS_MAX, TEXT_MAX};
use crate::description::MEDIA_MAX;

/// Why a text is no description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Longer than [`TEXT_MAX`].
    #[error("SDP of {length} bytes; at most {TEXT_MAX} are read")]
    TooLong {
        /// Bytes.
        length: usize,
    },
    /// Not SDP at all.
    #[error("not SDP: {0}")]
    Syntax(String),
    /// More lines than a call has, or none.
    #[error("{count} media lines, not between 1 and {MEDIA_MAX}")]
    MediaCount {
        /// How many.
        count: usize,
    },
    /// More payload types than a line may have.
    #[error("media line {index}: {count} formats; at most {FORMATS_MAX} are read")]
    TooManyPayloads {
        /// Index of the line.
        index: usize,
        /// How many.
        count: usize,
    },
    /// Neither audio nor video.
    #[error("media line {index} is \"{media}\", neither audio nor video")]
    Media {
        /// Index of the line.
        index: usize,
        /// As it stands there.
        media: String,
    },
    /// Neither plain RTP nor WebRTC's.
    #[error(
        "media line {index} travels by {protocol}, not by RTP/AVP, RTP/AVPF or UDP/TLS/RTP/SAVPF"
    )]
    Protocol {
        /// Index of the line.
        index: usize,
        /// As it stands there.
        protocol: String,
    },
    /// Not a payload type.
    #[error("media line {index}: format \"{format}\" is no payload type")]
    Format {
        /// Index of the line.
        index: usize,
        /// As it stands there.
        format: String,
    },
    /// A payload type that means two things.
    #[error("media line {index}: payload type {payload_type} is listed twice")]
    FormatTwice {
        /// Index of the line.
        index: usize,
        /// Which one.
        payload_type: u8,
    },
    /// An attribute that does not say what it should.
    #[error("media line {index}: a={attribute}")]
    Attribute {
        /// Index of the line.
        index: usize,
        /// As it stands there.
        attribute: String,
    },
    /// No address, or none that is an address.
    #[error("media line {index}: no usable c= line ({found})")]
    Connection {
        /// Index of the line.
        index: usize,
        /// As it stands there.
        found: String,
    },
    /// Not a port.
    #[error("media line {index}: port {port}")]
    Port {
        /// Index of the line.
        index: usize,
        /// As it stands there.
        port: String,
    },
    /// Lines on different ports or addresses.
    #[error("media line {index} is at {found}, the ones before at {expected}")]
    Scattered {
        /// Index of the line.
        index: usize,
        /// Of this line.
        found: SocketAddr,
        /// Of those before.
        expected: SocketAddr,
    },
    /// RTCP on a port of its own.
    #[error("media line {index} lacks a=rtcp-mux")]
    NoRtcpMux {
        /// Index of the line.
        index: usize,
    },
    /// Some lines in plain RTP, some by WebRTC.
    #[error("media line {index} travels by {protocol}, the ones before do not")]
    Mixed {
        /// Index of the line.
        index: usize,
        /// As it stands there.
        protocol: String,
    },
    /// Something without which there is no way to a WebRTC peer.
    #[error("media line {index} lacks a={attribute}, as does the session")]
    Lacks {
        /// Index of the line.
        index: usize,
        /// Its name.
        attribute: &'static str,
    },
    /// A WebRTC line that wants a way of its own.
    #[error("media line {index} is not in the BUNDLE group of the ones before")]
    NotBundled {
        /// Index of the line.
        index: usize,
    },
    /// Every line is rejected, so there is no address.
    #[error("every media line is rejected")]
    AllRejected,
}
