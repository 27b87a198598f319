//! Descriptions as SDP text (RFC 8866) for plain RTP: `RTP/AVP` and `RTP/AVPF`, every
//! media line on one address and port (RFC 9143), RTP and RTCP together (RFC 5761). What
//! the text says beyond [`Description`] is left out on parsing; what contradicts plain
//! transport is refused with the line at fault. The grammar is `rtc-sdp`'s, which no other
//! file names. Deviation: lines that are neither audio nor video are refused as a whole
//! text, since a description has no place for them.

use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};
use std::io::Cursor;

use rtc_sdp::description::common::{Address, Attribute, ConnectionInformation};
use rtc_sdp::description::media::{self as sdp_media, MediaName, RangedPort};
use rtc_sdp::description::session::{Origin, SessionDescription, TimeDescription, Timing};

use crate::description::{
    Codec, Description, Direction, Extension, ExtensionId, Feedback, MEDIA_MAX, MediaDescription,
    MediaKind, PAYLOADS_MAX, Payload,
};

/// Longer texts are not looked at.
pub const TEXT_MAX: usize = 64 * 1024;

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
    #[error("media line {index}: {count} formats; at most {PAYLOADS_MAX} are read")]
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
    /// Not plain RTP.
    #[error("media line {index} travels by {protocol}, not by RTP/AVP or RTP/AVPF")]
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
    /// Every line is rejected, so there is no address.
    #[error("every media line is rejected")]
    AllRejected,
}

/// Reads a description.
///
/// # Errors
/// The first thing that is not SDP, or not plain RTP on one port.
pub fn parse(text: &str) -> Result<Description, ParseError> {
    if text.len() > TEXT_MAX {
        return Err(ParseError::TooLong { length: text.len() });
    }
    let session = SessionDescription::unmarshal(&mut Cursor::new(text))
        .map_err(|error| ParseError::Syntax(error.to_string()))?;
    let count = session.media_descriptions.len();
    if !(1..=MEDIA_MAX).contains(&count) {
        return Err(ParseError::MediaCount { count });
    }
    let mut address = None;
    let mut media = Vec::with_capacity(count);
    for (index, line) in session.media_descriptions.iter().enumerate() {
        let reader = Reader { index, session: &session, line };
        let parsed = reader.media()?;
        if !parsed.rejected {
            let found = reader.address()?;
            let expected = *address.get_or_insert(found);
            if found != expected {
                return Err(ParseError::Scattered { index, found, expected });
            }
        }
        media.push(parsed);
    }
    Ok(Description { address: address.ok_or(ParseError::AllRejected)?, media })
}

/// One media line, and where it stands.
struct Reader<'a> {
    index: usize,
    session: &'a SessionDescription,
    line: &'a sdp_media::MediaDescription,
}

impl Reader<'_> {
    fn media(&self) -> Result<MediaDescription, ParseError> {
        let index = self.index;
        let rejected = self.line.media_name.port.value == 0;
        let kind = self.kind()?;
        let protocol = self.line.media_name.protos.join("/");
        if !rejected && protocol != "RTP/AVP" && protocol != "RTP/AVPF" {
            return Err(ParseError::Protocol { index, protocol });
        }
        if !rejected && !self.line.has_attribute("rtcp-mux") {
            return Err(ParseError::NoRtcpMux { index });
        }
        let mid = self.value("mid").map_or_else(|| index.to_string(), str::to_owned);
        Ok(MediaDescription {
            mid,
            kind,
            direction: self.direction(),
            payloads: self.payloads()?,
            ssrc: self.ssrc()?,
            extensions: self.extensions()?,
            rejected,
        })
    }

    fn kind(&self) -> Result<MediaKind, ParseError> {
        let slides =
            || self.value("content").is_some_and(|c| c.split(',').any(|c| c.trim() == "slides"));
        match self.line.media_name.media.as_str() {
            "audio" => Ok(MediaKind::Audio),
            "video" if slides() => Ok(MediaKind::ScreenSharing),
            "video" => Ok(MediaKind::Video),
            other => Err(ParseError::Media { index: self.index, media: other.to_owned() }),
        }
    }

    fn address(&self) -> Result<SocketAddr, ParseError> {
        let index = self.index;
        let connection = self
            .line
            .connection_information
            .as_ref()
            .or(self.session.connection_information.as_ref());
        let ip: Option<IpAddr> = connection
            .and_then(|connection| connection.address.as_ref())
            .and_then(|address| address.address.parse().ok());
        let found = || connection.map_or_else(|| "none".to_owned(), ToString::to_string);
        let ip = ip.ok_or_else(|| ParseError::Connection { index, found: found() })?;
        let RangedPort { value, range } = self.line.media_name.port;
        match u16::try_from(value) {
            Ok(port) if range.is_none_or(|range| range == 1) => Ok(SocketAddr::new(ip, port)),
            _ => {
                let port = self.line.media_name.port.to_string();
                Err(ParseError::Port { index, port })
            }
        }
    }

    fn direction(&self) -> Direction {
        let find = |attributes: &[Attribute]| {
            attributes.iter().find_map(|attribute| match attribute.key.as_str() {
                "sendrecv" => Some(Direction::SendReceive),
                "sendonly" => Some(Direction::SendOnly),
                "recvonly" => Some(Direction::ReceiveOnly),
                "inactive" => Some(Direction::Inactive),
                _ => None,
            })
        };
        find(&self.line.attributes).or_else(|| find(&self.session.attributes)).unwrap_or_default()
    }

    fn payloads(&self) -> Result<Vec<Payload>, ParseError> {
        let (index, formats) = (self.index, &self.line.media_name.formats);
        if formats.len() > PAYLOADS_MAX {
            return Err(ParseError::TooManyPayloads { index, count: formats.len() });
        }
        let mut seen = Vec::new();
        let mut payloads = Vec::new();
        for format in formats {
            let payload_type = format.parse().ok().filter(|number: &u8| *number < 128);
            let Some(payload_type) = payload_type else {
                return Err(ParseError::Format { index, format: format.clone() });
            };
            if seen.contains(&payload_type) {
                return Err(ParseError::FormatTwice { index, payload_type });
            }
            seen.push(payload_type);
            payloads.extend(self.payload(payload_type)?);
        }
        Ok(payloads)
    }

    /// What a payload type stands for; none when that is nothing we know.
    fn payload(&self, payload_type: u8) -> Result<Option<Payload>, ParseError> {
        let number = payload_type.to_string();
        let parameters: Vec<(&str, &str)> = self
            .about("fmtp", &number)
            .flat_map(|value| value.split(';'))
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let get = |name: &str| {
            let found = parameters.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
            found.map(|(_, value)| *value)
        };
        let map = match (self.about("rtpmap", &number).next(), payload_type) {
            (Some(map), _) => map,
            // RFC 3551 table 4: the static types need no map.
            (None, 0) => "PCMU/8000",
            (None, 8) => "PCMA/8000",
            (None, _) => return Ok(None),
        };
        let Some(codec) = self.codec(map, get)? else { return Ok(None) };
        let mut payload = Payload {
            in_band_fec: get("useinbandfec") == Some("1"),
            discontinuous: get("usedtx") == Some("1"),
            bitrate_max: get("maxaveragebitrate").and_then(|bitrate| bitrate.parse().ok()),
            profile_level_id: None,
            feedback: self.feedback(&number),
            ..Payload::new(payload_type, codec)
        };
        if codec.is_video() {
            // RFC 6184 section 8.1: baseline, level 1, when nothing is said.
            let id = get("profile-level-id").unwrap_or("42000a");
            let id = u32::from_str_radix(id, 16).ok().filter(|_| id.len() == 6);
            let Some(id) = id else {
                return Err(self.attribute(&format!("fmtp:{number} profile-level-id")));
            };
            let [_, profile, constraints, level] = id.to_be_bytes();
            payload.profile_level_id = Some([profile, constraints, level]);
        }
        Ok(Some(payload))
    }

    fn codec<'v>(
        &self,
        map: &str,
        get: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<Option<Codec>, ParseError> {
        let wrong = || self.attribute(&format!("rtpmap: {map}"));
        let mut parts = map.trim().split('/');
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let rate: u32 = parts.next().and_then(|rate| rate.parse().ok()).ok_or_else(wrong)?;
        let channels = parts.next().unwrap_or("1");
        let (codec, rates_fit) = match name.as_str() {
            "opus" => {
                let stereo = get("stereo") == Some("1");
                (Codec::Opus { stereo }, rate == 48_000 && channels == "2")
            }
            "pcmu" => (Codec::Pcmu, rate == 8_000),
            "pcma" => (Codec::Pcma, rate == 8_000),
            "telephone-event" => (Codec::TelephoneEvent { clock_rate: rate }, rate > 0),
            "h264" => {
                let mode = get("packetization-mode").unwrap_or("0");
                let packetization_mode = match mode {
                    "0" => 0,
                    "1" => 1,
                    // Interleaved: nothing we know.
                    _ => return Ok(None),
                };
                (Codec::H264 { packetization_mode }, rate == 90_000)
            }
            _ => return Ok(None),
        };
        if rates_fit { Ok(Some(codec)) } else { Err(wrong()) }
    }

    fn feedback(&self, number: &str) -> Feedback {
        let mut feedback = Feedback::default();
        for value in self.about("rtcp-fb", number).chain(self.about("rtcp-fb", "*")) {
            let mut words = value.split_whitespace();
            match (words.next(), words.next()) {
                (Some("nack"), None) => feedback.nack = true,
                (Some("nack"), Some("pli")) => feedback.pli = true,
                (Some("ccm"), Some("fir")) => feedback.fir = true,
                (Some("transport-cc"), None) => feedback.transport_cc = true,
                _ => {}
            }
        }
        feedback
    }

    fn ssrc(&self) -> Result<Option<u32>, ParseError> {
        let Some(value) = self.value("ssrc") else { return Ok(None) };
        let number = value.split_whitespace().next().unwrap_or_default();
        match number.parse() {
            Ok(ssrc) => Ok(Some(ssrc)),
            Err(_) => Err(self.attribute(&format!("ssrc:{value}"))),
        }
    }

    fn extensions(&self) -> Result<Vec<ExtensionId>, ParseError> {
        let mut extensions: Vec<ExtensionId> = Vec::new();
        let values = self.line.attributes.iter().filter(|a| a.key == "extmap");
        for value in values.filter_map(|attribute| attribute.value.as_deref()) {
            let mut words = value.split_whitespace();
            let (number, uri) = (words.next().unwrap_or_default(), words.next());
            let Some(extension) = uri.and_then(Extension::from_uri) else { continue };
            let id = number.split('/').next().and_then(|id| id.parse().ok());
            let Some(id) = id.filter(|id: &u8| *id > 0) else {
                return Err(self.attribute(&format!("extmap:{value}")));
            };
            if extensions.iter().all(|known| known.id != id && known.extension != extension) {
                extensions.push(ExtensionId { id, extension });
            }
        }
        Ok(extensions)
    }

    /// The value of the first attribute of this name.
    fn value(&self, key: &str) -> Option<&str> {
        let attribute = self.line.attributes.iter().find(|attribute| attribute.key == key)?;
        attribute.value.as_deref().map(str::trim)
    }

    /// The rest of the attributes of this name that are about a payload type.
    fn about<'b>(&'b self, key: &'b str, number: &'b str) -> impl Iterator<Item = &'b str> + 'b {
        self.line
            .attributes
            .iter()
            .filter(move |attribute| attribute.key == key)
            .filter_map(|attribute| attribute.value.as_deref()?.trim().split_once(' '))
            .filter(move |(about, _)| *about == number)
            .map(|(_, value)| value)
    }

    fn attribute(&self, attribute: &str) -> ParseError {
        ParseError::Attribute { index: self.index, attribute: attribute.to_owned() }
    }
}

/// Writes a description; `session_id` tells it from others of the same origin.
#[must_use]
pub fn write(description: &Description, session_id: u64) -> String {
    let ip = description.address.ip();
    let address_type = if ip.is_ipv4() { "IP4" } else { "IP6" }.to_owned();
    let mids: Vec<String> = description.media.iter().map(|media| token(&media.mid)).collect();
    let accepted = description.media.iter().zip(&mids).filter(|(media, _)| !media.rejected);
    let mut group = "BUNDLE".to_owned();
    for (_, mid) in accepted {
        group.push(' ');
        group.push_str(mid);
    }
    SessionDescription {
        version: 0,
        origin: Origin {
            username: "-".to_owned(),
            session_id,
            session_version: 1,
            network_type: "IN".to_owned(),
            address_type: address_type.clone(),
            unicast_address: ip.to_string(),
        },
        session_name: "-".to_owned(),
        connection_information: Some(ConnectionInformation {
            network_type: "IN".to_owned(),
            address_type,
            address: Some(Address { address: ip.to_string(), ttl: None, range: None }),
        }),
        time_descriptions: vec![TimeDescription {
            timing: Timing { start_time: 0, stop_time: 0 },
            repeat_times: Vec::new(),
        }],
        attributes: vec![attribute("group", Some(group))],
        media_descriptions: description
            .media
            .iter()
            .zip(mids)
            .map(|(media, mid)| write_media(media, mid, description.address.port()))
            .collect(),
        ..SessionDescription::default()
    }
    .marshal()
}

fn write_media(media: &MediaDescription, mid: String, port: u16) -> sdp_media::MediaDescription {
    let direction = match media.direction {
        Direction::SendReceive => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::ReceiveOnly => "recvonly",
        Direction::Inactive => "inactive",
    };
    let mut attributes =
        vec![attribute("mid", Some(mid)), attribute("rtcp-mux", None), attribute(direction, None)];
    if media.kind == MediaKind::ScreenSharing {
        attributes.push(attribute("content", Some("slides".to_owned())));
    }
    for payload in &media.payloads {
        write_payload(payload, &mut attributes);
    }
    for ExtensionId { id, extension } in &media.extensions {
        attributes.push(attribute("extmap", Some(format!("{id} {}", extension.uri()))));
    }
    if let Some(ssrc) = media.ssrc {
        attributes.push(attribute("ssrc", Some(format!("{ssrc} cname:callrig"))));
    }
    let mut formats: Vec<String> =
        media.payloads.iter().map(|payload| payload.payload_type.to_string()).collect();
    if formats.is_empty() {
        // The grammar demands one; a rejected line needs none that means anything.
        formats.push("0".to_owned());
    }
    let port = if media.rejected { 0 } else { isize::try_from(port).unwrap_or(0) };
    let feedback = media.payloads.iter().any(|p| p.feedback != Feedback::default());
    let profile = if feedback { "AVPF" } else { "AVP" };
    sdp_media::MediaDescription {
        media_name: MediaName {
            media: if media.kind == MediaKind::Audio { "audio" } else { "video" }.to_owned(),
            port: RangedPort { value: port, range: None },
            protos: vec!["RTP".to_owned(), profile.to_owned()],
            formats,
        },
        attributes,
        ..sdp_media::MediaDescription::default()
    }
}

fn write_payload(payload: &Payload, attributes: &mut Vec<Attribute>) {
    let (number, codec) = (payload.payload_type, payload.codec);
    let mut map = format!("{number} {}/{}", codec.name(), codec.clock_rate());
    if codec.rtpmap_channels() > 1 {
        // Writing to a string cannot fail.
        let _ = write!(map, "/{}", codec.rtpmap_channels());
    }
    attributes.push(attribute("rtpmap", Some(map)));
    let mut parameters: Vec<String> = Vec::new();
    match codec {
        Codec::Opus { stereo } => {
            if stereo {
                parameters.push("stereo=1".to_owned());
            }
        }
        Codec::TelephoneEvent { .. } => parameters.push("0-16".to_owned()),
        Codec::H264 { packetization_mode } => {
            parameters.push(format!("packetization-mode={packetization_mode}"));
            if let Some([profile, constraints, level]) = payload.profile_level_id {
                parameters
                    .push(format!("profile-level-id={profile:02x}{constraints:02x}{level:02x}"));
            }
            parameters.push("level-asymmetry-allowed=1".to_owned());
        }
        Codec::Pcmu | Codec::Pcma => {}
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
    if !parameters.is_empty() {
        attributes.push(attribute("fmtp", Some(format!("{number} {}", parameters.join(";")))));
    }
    let Feedback { nack, pli, fir, transport_cc } = payload.feedback;
    for (known, name) in
        [(nack, "nack"), (pli, "nack pli"), (fir, "ccm fir"), (transport_cc, "transport-cc")]
    {
        if known {
            attributes.push(attribute("rtcp-fb", Some(format!("{number} {name}"))));
        }
    }
}

fn attribute(key: &str, value: Option<String>) -> Attribute {
    Attribute { key: key.to_owned(), value }
}

/// A word that cannot break out of its line.
fn token(word: &str) -> String {
    word.chars().filter(|c| c.is_ascii_graphic()).collect()
}
