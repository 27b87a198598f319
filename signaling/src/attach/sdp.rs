//! Descriptions as SDP text (RFC 8866, offer/answer attributes of RFC 3264, 4585, 5576,
//! 5761, 6184, 7587, 8285, 4796). Plain RTP only: an offer that wants DTLS or ICE is
//! refused by name. Deviation: one address for all lines (they are bundled by RTP itself),
//! unknown codecs and attributes are passed over.

use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};

use callrig_media::description::{
    Codec, Description, Direction, Extension, ExtensionId, MEDIA_MAX, MediaDescription, MediaKind,
    PAYLOADS_MAX, Payload,
};

/// How long an SDP may be, in bytes.
pub const SDP_BYTES_MAX: usize = 128 * 1024;

/// Why an SDP cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Larger than [`SDP_BYTES_MAX`].
    #[error("it has {0} bytes; the limit is {SDP_BYTES_MAX}")]
    TooLarge(usize),
    /// A line that is not `x=…`, or whose fields are not what they must be.
    #[error("line {line} cannot be read: {text}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// No `v=0` in front.
    #[error("it does not begin with v=0")]
    Version,
    /// Nowhere to send to.
    #[error("it has no usable address: a c= line with an IP address and a port are needed")]
    NoAddress,
    /// Lines with different addresses.
    #[error("its media lines have different addresses; this platform needs them on one")]
    SeveralAddresses,
    /// More lines than a call has.
    #[error("it has more than {MEDIA_MAX} media lines")]
    TooManyLines,
    /// A transport that is not spoken here.
    #[error("transport {0} is not possible here; plain RTP (RTP/AVP or RTP/AVPF) is")]
    Transport(String),
}

/// One media line while it is read.
struct Line {
    description: MediaDescription,
    port: u16,
    address: Option<IpAddr>,
    formats: Vec<u8>,
    slides: bool,
}

/// Reads an SDP.
///
/// # Errors
/// The first thing that makes it unusable.
pub fn parse(text: &str) -> Result<Description, SdpError> {
    if text.len() > SDP_BYTES_MAX {
        return Err(SdpError::TooLarge(text.len()));
    }
    let mut lines: Vec<Line> = Vec::new();
    let mut session_address = None;
    let mut session_direction = Direction::SendReceive;
    for (index, raw) in text.lines().enumerate() {
        let bad = || SdpError::Line { line: index + 1, text: raw.chars().take(80).collect() };
        let raw = raw.trim_end();
        if raw.is_empty() {
            continue;
        }
        let (key, value) = raw.split_once('=').ok_or_else(bad)?;
        if index == 0 && (key, value) != ("v", "0") {
            return Err(SdpError::Version);
        }
        match (key, lines.last_mut()) {
            ("m", _) => {
                if lines.len() == MEDIA_MAX {
                    return Err(SdpError::TooManyLines);
                }
                let mid = lines.len().to_string();
                lines.push(parse_media(value, mid, session_direction).ok_or_else(bad)??);
            }
            ("c", Some(line)) => line.address = Some(parse_connection(value).ok_or_else(bad)?),
            ("c", None) => session_address = Some(parse_connection(value).ok_or_else(bad)?),
            ("a", Some(line)) => parse_attribute(line, value),
            ("a", None) => session_direction = direction_of(value).unwrap_or(session_direction),
            _ => {}
        }
    }
    assemble(lines, session_address)
}

fn assemble(lines: Vec<Line>, session: Option<IpAddr>) -> Result<Description, SdpError> {
    let mut addresses = lines
        .iter()
        .filter(|line| line.port != 0)
        .map(|line| Some(SocketAddr::new(line.address.or(session)?, line.port)));
    let address = addresses.next().flatten().ok_or(SdpError::NoAddress)?;
    if addresses.any(|other| other != Some(address)) {
        return Err(SdpError::SeveralAddresses);
    }
    let media = lines.into_iter().map(finish).collect();
    Ok(Description { address, media })
}

/// A line whose attributes have all been read.
fn finish(line: Line) -> MediaDescription {
    let mut media = line.description;
    media.rejected = line.port == 0;
    if line.slides && media.kind == MediaKind::Video {
        media.kind = MediaKind::ScreenSharing;
    }
    for format in &line.formats {
        let known = media.payload(*format).is_some();
        let codec = match format {
            0 => Some(Codec::Pcmu),
            8 => Some(Codec::Pcma),
            _ => None,
        };
        if let (false, Some(codec), MediaKind::Audio) = (known, codec, media.kind) {
            media.payloads.push(Payload::new(*format, codec));
        }
    }
    // The m= line has the order of preference.
    media.payloads.sort_by_key(|p| line.formats.iter().position(|f| *f == p.payload_type));
    media.payloads.truncate(PAYLOADS_MAX);
    media
}

/// `audio 4000 RTP/AVP 111 0 8`
fn parse_media(
    value: &str,
    mid: String,
    direction: Direction,
) -> Option<Result<Line, SdpError>> {
    let mut fields = value.split_ascii_whitespace();
    let kind = match fields.next()? {
        "audio" => MediaKind::Audio,
        "video" => MediaKind::Video,
        _ => MediaKind::Audio,
    };
    let known = value.starts_with("audio ") || value.starts_with("video ");
    let port = fields.next()?.split('/').next()?.parse().ok()?;
    let protocol = fields.next()?;
    if known && !matches!(protocol, "RTP/AVP" | "RTP/AVPF") {
        return Some(Err(SdpError::Transport(protocol.to_owned())));
    }
    let formats = fields.filter_map(|f| f.parse().ok()).filter(|f: &u8| *f < 128);
    let description = MediaDescription {
        mid,
        kind,
        direction,
        payloads: Vec::new(),
        ssrc: None,
        extensions: Vec::new(),
        rejected: false,
    };
    Some(Ok(Line {
        description,
        // A kind of line that we do not know keeps its place, refused.
        port: if known { port } else { 0 },
        address: None,
        formats: formats.take(PAYLOADS_MAX).collect(),
        slides: false,
    }))
}

/// `IN IP4 192.0.2.1`
fn parse_connection(value: &str) -> Option<IpAddr> {
    let mut fields = value.split_ascii_whitespace();
    let (network, kind, address) = (fields.next()?, fields.next()?, fields.next()?);
    if network != "IN" {
        return None;
    }
    let address: IpAddr = address.split('/').next()?.parse().ok()?;
    (address.is_ipv4() == (kind == "IP4")).then_some(address)
}

fn direction_of(attribute: &str) -> Option<Direction> {
    match attribute {
        "sendrecv" => Some(Direction::SendReceive),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::ReceiveOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}

/// What cannot be read is passed over: an attribute is a hint, except for codecs, which
/// are then not there.
fn parse_attribute(line: &mut Line, attribute: &str) {
    if let Some(direction) = direction_of(attribute) {
        line.description.direction = direction;
        return;
    }
    let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
    match name {
        "mid" if !value.is_empty() => value.clone_into(&mut line.description.mid),
        "content" => line.slides |= value.split(',').any(|content| content == "slides"),
        "rtpmap" => {
            parse_rtpmap(line, value);
        }
        "fmtp" => {
            parse_fmtp(line, value);
        }
        "rtcp-fb" => {
            parse_feedback(line, value);
        }
        "extmap" => {
            parse_extmap(line, value);
        }
        "ssrc" if line.description.ssrc.is_none() => {
            let number = value.split_ascii_whitespace().next();
            line.description.ssrc = number.and_then(|number| number.parse().ok());
        }
        _ => {}
    }
}

/// `111 opus/48000/2`
fn parse_rtpmap(line: &mut Line, value: &str) -> Option<()> {
    let (payload_type, encoding) = value.split_once(' ')?;
    let payload_type: u8 = payload_type.parse().ok().filter(|number| *number < 128)?;
    let mut parts = encoding.trim().split('/');
    let (name, rate) = (parts.next()?.to_ascii_lowercase(), parts.next()?.parse::<u32>().ok()?);
    let media = &mut line.description;
    let codec = match (name.as_str(), rate) {
        ("opus", 48_000) => Codec::Opus { stereo: false },
        ("pcmu", 8_000) => Codec::Pcmu,
        ("pcma", 8_000) => Codec::Pcma,
        ("telephone-event", rate) if rate > 0 => Codec::TelephoneEvent { clock_rate: rate },
        ("h264", 90_000) => Codec::H264 { packetization_mode: 0 },
        _ => return None,
    };
    let fits = codec.is_video() == (media.kind != MediaKind::Audio);
    if fits && media.payload(payload_type).is_none() && line.formats.contains(&payload_type) {
        let mut payload = Payload::new(payload_type, codec);
        payload.in_band_fec = false;
        payload.profile_level_id = None;
        payload.feedback = callrig_media::description::Feedback::default();
        media.payloads.push(payload);
    }
    Some(())
}

fn payload_mut<'a>(line: &'a mut Line, number: &str) -> Option<&'a mut Payload> {
    let number: u8 = number.parse().ok()?;
    line.description.payloads.iter_mut().find(|payload| payload.payload_type == number)
}

/// `111 minptime=10;useinbandfec=1`
fn parse_fmtp(line: &mut Line, value: &str) -> Option<()> {
    let (payload_type, parameters) = value.split_once(' ')?;
    let payload = payload_mut(line, payload_type)?;
    for parameter in parameters.split(';') {
        let (name, value) = parameter.trim().split_once('=').unwrap_or((parameter.trim(), ""));
        match (name, &mut payload.codec) {
            ("stereo", Codec::Opus { stereo }) => *stereo = value == "1",
            ("useinbandfec", Codec::Opus { .. }) => payload.in_band_fec = value == "1",
            ("usedtx", Codec::Opus { .. }) => payload.discontinuous = value == "1",
            ("maxaveragebitrate", Codec::Opus { .. }) => payload.bitrate_max = value.parse().ok(),
            ("packetization-mode", Codec::H264 { packetization_mode }) => {
                *packetization_mode = value.parse().ok().filter(|mode| *mode <= 1)?;
            }
            ("profile-level-id", Codec::H264 { .. }) => {
                let bits = u32::from_str_radix(value, 16).ok().filter(|_| value.len() == 6)?;
                payload.profile_level_id =
                    Some([(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]);
            }
            _ => {}
        }
    }
    Some(())
}

/// `102 nack pli`
fn parse_feedback(line: &mut Line, value: &str) -> Option<()> {
    let (payload_type, what) = value.split_once(' ')?;
    let set = |payload: &mut Payload| match what.trim() {
        "nack" => payload.feedback.nack = true,
        "nack pli" => payload.feedback.pli = true,
        "ccm fir" => payload.feedback.fir = true,
        "transport-cc" => payload.feedback.transport_cc = true,
        _ => {}
    };
    if payload_type == "*" {
        line.description.payloads.iter_mut().for_each(set);
    } else {
        payload_mut(line, payload_type).map(set)?;
    }
    Some(())
}

/// `1 urn:ietf:params:rtp-hdrext:ssrc-audio-level`
fn parse_extmap(line: &mut Line, value: &str) -> Option<()> {
    let mut fields = value.split_ascii_whitespace();
    let id: u8 = fields.next()?.split('/').next()?.parse().ok().filter(|id| *id > 0)?;
    let extension = Extension::from_uri(fields.next()?)?;
    let extensions = &mut line.description.extensions;
    if !extensions.iter().any(|e| e.id == id || e.extension == extension) {
        extensions.push(ExtensionId { id, extension });
    }
    Some(())
}

/// Writes an SDP.
#[must_use]
pub fn write(description: &Description) -> String {
    let ip = description.address.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let mut text = format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\na=group:BUNDLE"
    );
    for media in description.media.iter().filter(|media| !media.rejected) {
        text.push(' ');
        text.push_str(&media.mid);
    }
    text.push_str("\r\n");
    for media in &description.media {
        write_media(&mut text, media, description.address.port());
    }
    text
}

fn write_media(text: &mut String, media: &MediaDescription, port: u16) {
    let name = if media.kind == MediaKind::Audio { "audio" } else { "video" };
    let port = if media.rejected { 0 } else { port };
    let feedback = media.payloads.iter().any(|p| p.feedback != Default::default());
    let profile = if feedback { "RTP/AVPF" } else { "RTP/AVP" };
    let _ = write!(text, "m={name} {port} {profile}");
    for payload in &media.payloads {
        let _ = write!(text, " {}", payload.payload_type);
    }
    if media.payloads.is_empty() {
        text.push_str(" 0");
    }
    let direction = match media.direction {
        Direction::SendReceive => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::ReceiveOnly => "recvonly",
        Direction::Inactive => "inactive",
    };
    let _ = write!(text, "\r\na=mid:{}\r\na=rtcp-mux\r\na={direction}\r\n", media.mid);
    if media.kind == MediaKind::ScreenSharing {
        text.push_str("a=content:slides\r\n");
    }
    for ExtensionId { id, extension } in &media.extensions {
        let _ = write!(text, "a=extmap:{id} {}\r\n", extension.uri());
    }
    for payload in &media.payloads {
        write_payload(text, payload);
    }
    if let Some(ssrc) = media.ssrc {
        let _ = write!(text, "a=ssrc:{ssrc} cname:callrig\r\n");
    }
}

fn write_payload(text: &mut String, payload: &Payload) {
    let number = payload.payload_type;
    let _ = write!(text, "a=rtpmap:{number} {}", payload.codec);
    if payload.codec.rtpmap_channels() > 1 {
        let _ = write!(text, "/{}", payload.codec.rtpmap_channels());
    }
    text.push_str("\r\n");
    let mut parameters = Vec::new();
    match payload.codec {
        Codec::Opus { stereo } => {
            if stereo {
                parameters.push("stereo=1".to_owned());
            }
            if payload.in_band_fec {
                parameters.push("useinbandfec=1".to_owned());
            }
            if payload.discontinuous {
                parameters.push("usedtx=1".to_owned());
            }
            if let Some(bitrate) = payload.bitrate_max {
                parameters.push(format!("maxaveragebitrate={bitrate}"));
            }
        }
        Codec::H264 { packetization_mode } => {
            parameters.push(format!("packetization-mode={packetization_mode}"));
            if let Some([profile, constraints, level]) = payload.profile_level_id {
                parameters.push(format!("profile-level-id={profile:02x}{constraints:02x}{level:02x}"));
            }
        }
        Codec::TelephoneEvent { .. } => parameters.push("0-16".to_owned()),
        Codec::Pcmu | Codec::Pcma => {}
    }
    if !parameters.is_empty() {
        let _ = write!(text, "a=fmtp:{number} {}\r\n", parameters.join(";"));
    }
    let feedback = payload.feedback;
    for (wanted, what) in [
        (feedback.nack, "nack"),
        (feedback.pli, "nack pli"),
        (feedback.fir, "ccm fir"),
        (feedback.transport_cc, "transport-cc"),
    ] {
        if wanted {
            let _ = write!(text, "a=rtcp-fb:{number} {what}\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 7], 4000))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let description = Description::audio(address())
            .with(MediaDescription::video("v").with_direction(Direction::ReceiveOnly))
            .with(MediaDescription::screen_sharing("s").with_ssrc(77));
        assert_eq!(parse(&write(&description)), Ok(description));
    }

    #[test]
    fn a_foreign_description_is_understood_as_far_as_it_goes() {
        let text = "v=0\no=x 1 1 IN IP4 198.51.100.1\ns=x\nt=0 0\na=recvonly\n\
                    m=audio 5004 RTP/AVP 8 96 13\nc=IN IP4 198.51.100.1\n\
                    a=rtpmap:96 OPUS/48000/2\na=fmtp:96 useinbandfec=1; stereo=1\n\
                    a=rtpmap:13 CN/8000\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\n";
        let description = parse(text).expect("it is usable");
        assert_eq!(description.address, SocketAddr::from(([198, 51, 100, 1], 5004)));
        let audio = &description.media[0];
        assert_eq!(audio.direction, Direction::ReceiveOnly);
        let types: Vec<u8> = audio.payloads.iter().map(|p| p.payload_type).collect();
        assert_eq!(types, [8, 96]);
        assert_eq!(audio.payloads[1].codec, Codec::Opus { stereo: true });
        assert!(description.media[1].rejected);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let webrtc = "v=0\nc=IN IP4 1.2.3.4\nm=audio 9 UDP/TLS/RTP/SAVPF 111\n";
        assert_eq!(parse(webrtc), Err(SdpError::Transport("UDP/TLS/RTP/SAVPF".into())));
        assert_eq!(parse("v=1\n"), Err(SdpError::Version));
        assert_eq!(parse("v=0\nm=audio 5 RTP/AVP 0\n"), Err(SdpError::NoAddress));
        assert!(matches!(parse("v=0\nnonsense\n"), Err(SdpError::Line { line: 2, .. })));
        let two = "v=0\nc=IN IP4 1.2.3.4\nm=audio 5 RTP/AVP 0\nm=video 6 RTP/AVP 96\n";
        assert_eq!(parse(two), Err(SdpError::SeveralAddresses));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}", body in "(m=|a=|c=|v=0)[ -~\\n]{0,200}") {
            let _ = parse(&text);
            let _ = parse(&format!("v=0\nc=IN IP4 1.2.3.4\nm=audio 5 RTP/AVP 0 96\n{body}"));
        }
    }
}
