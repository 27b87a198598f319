//! Descriptions as SDP text (RFC 8866): plain RTP (`RTP/AVP` and `RTP/AVPF`) with every
//! media line on one address and port, and WebRTC (`UDP/TLS/RTP/SAVPF`, RFC 8829) with every
//! line in one BUNDLE group (RFC 9143); RTP and RTCP together (RFC 5761) in both. What the
//! text says beyond [`Description`] is left out on parsing; what contradicts one transport
//! for all is refused with the line at fault. The grammar is `rtc-sdp`'s, which no other
//! file names. Deviation: lines that are neither audio, video nor data channels are refused
//! as a whole text, since a description has no place for them.

mod error;
mod secure;

use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};
use std::io::Cursor;

use rtc_sdp::description::common::{Address, Attribute, ConnectionInformation};
use rtc_sdp::description::media::{self as sdp_media, MediaName, RangedPort};
use rtc_sdp::description::session::{Origin, SessionDescription, TimeDescription, Timing};

pub use error::ParseError;
use secure::{NOWHERE, is_plain, is_secure};

use crate::description::{
    Codec, Description, Direction, Extension, ExtensionId, Feedback, MEDIA_MAX, MediaDescription,
    MediaKind, PAYLOADS_MAX, Payload, Secure, Simulcast, word,
};

/// Longer texts are not looked at.
pub const TEXT_MAX: usize = 64 * 1024;

/// How many formats a media line may list; browsers list about fifty for video, most of
/// them nothing we know.
pub const FORMATS_MAX: usize = 128;

/// Reads a description.
///
/// # Errors
/// The first thing that is not SDP, or not one transport for all lines.
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
    let mut media = Vec::with_capacity(count);
    let mut way: Option<Way> = None;
    for (index, line) in session.media_descriptions.iter().enumerate() {
        let reader = Reader { index, session: &session, line };
        let parsed = reader.media()?;
        if !parsed.rejected {
            match &mut way {
                None => way = Some(reader.way(&parsed.mid)?),
                Some(way) => reader.same_way(&parsed.mid, way)?,
            }
        }
        media.push(parsed);
    }
    match way.ok_or(ParseError::AllRejected)? {
        Way::Plain(address) => Ok(Description::new(address, media)),
        Way::Secure { address, secure, .. } => {
            Ok(Description::new(address, media).with_secure(secure))
        }
    }
}

/// How the lines travel, as the first of them says.
enum Way {
    Plain(SocketAddr),
    Secure { address: SocketAddr, secure: Secure, mid: String },
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
        let kind = self.kind()?;
        // A line of a bundle needs no port of its own (RFC 9143 section 7.2.1).
        let bundled = self.line.has_attribute("bundle-only");
        let closed = self.line.media_name.port.value == 0 && !bundled;
        let rejected = closed || kind == MediaKind::Data;
        let protocol = self.protocol();
        if !rejected && !is_plain(&protocol) && !is_secure(&protocol) {
            return Err(ParseError::Protocol { index, protocol });
        }
        if !rejected && !self.line.has_attribute("rtcp-mux") {
            return Err(ParseError::NoRtcpMux { index });
        }
        let ssrc = self.ssrc()?;
        let data = kind == MediaKind::Data;
        let mid = self.value("mid").map_or_else(|| index.to_string(), str::to_owned);
        // RFC 5888 section 4; anything else could not be said again.
        if word(&mid) != mid {
            return Err(self.attribute(&format!("mid:{mid}")));
        }
        Ok(MediaDescription {
            mid,
            kind,
            direction: self.direction(),
            payloads: if data { Vec::new() } else { self.payloads()? },
            ssrc,
            retransmission_ssrc: ssrc.and_then(|ssrc| self.retransmission_ssrc(ssrc)),
            extensions: self.extensions()?,
            simulcast: self.simulcast(),
            rejected,
        })
    }

    fn protocol(&self) -> String {
        self.line.media_name.protos.join("/")
    }

    /// How the lines travel, if this is the first of them.
    fn way(&self, mid: &str) -> Result<Way, ParseError> {
        if is_plain(&self.protocol()) {
            return Ok(Way::Plain(self.address()?));
        }
        let (line, session) = (&self.line.attributes, &self.session.attributes);
        let values = |key: &'static str| {
            let of = move |list: &'_ [Attribute]| -> Vec<String> {
                let found = list.iter().filter(|attribute| attribute.key == key);
                found.map(|attribute| attribute.value.clone().unwrap_or_default()).collect()
            };
            let own = of(line);
            if own.is_empty() { of(session) } else { own }
        };
        let secure = secure::read(self.index, values)?;
        // Where a peer is, ICE finds out: browsers write 0.0.0.0, or a name.
        let address = self.address().unwrap_or(NOWHERE);
        Ok(Way::Secure { address, secure, mid: mid.to_owned() })
    }

    /// Refuses a line that travels otherwise than the first one.
    fn same_way(&self, mid: &str, way: &Way) -> Result<(), ParseError> {
        let (index, protocol) = (self.index, self.protocol());
        match way {
            Way::Plain(_) | Way::Secure { .. }
                if is_plain(&protocol) != matches!(way, Way::Plain(_)) =>
            {
                Err(ParseError::Mixed { index, protocol })
            }
            Way::Plain(expected) => {
                let (found, expected) = (self.address()?, *expected);
                if found == expected {
                    return Ok(());
                }
                Err(ParseError::Scattered { index, found, expected })
            }
            Way::Secure { mid: first, .. } => {
                let groups = self.session.attributes.iter().filter(|a| a.key == "group");
                let mut groups = groups.filter_map(|a| a.value.as_deref()?.strip_prefix("BUNDLE "));
                let holds = |group: &str, mid: &str| group.split_whitespace().any(|m| m == mid);
                match groups.any(|group| holds(group, first) && holds(group, mid)) {
                    true => Ok(()),
                    false => Err(ParseError::NotBundled { index }),
                }
            }
        }
    }

    fn kind(&self) -> Result<MediaKind, ParseError> {
        let slides =
            || self.value("content").is_some_and(|c| c.split(',').any(|c| c.trim() == "slides"));
        match self.line.media_name.media.as_str() {
            "audio" => Ok(MediaKind::Audio),
            "video" if slides() => Ok(MediaKind::ScreenSharing),
            "video" => Ok(MediaKind::Video),
            "application" if self.protocol().ends_with("SCTP") => Ok(MediaKind::Data),
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
        if formats.len() > FORMATS_MAX {
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
        payloads.truncate(PAYLOADS_MAX);
        for payload_type in seen {
            let of = self.sends_again(payload_type);
            if let Some(payload) = payloads.iter_mut().find(|p| Some(p.payload_type) == of) {
                payload.retransmission.get_or_insert(payload_type);
            }
        }
        Ok(payloads)
    }

    /// Whose packets this payload type sends again (RFC 4588 section 8.6).
    fn sends_again(&self, payload_type: u8) -> Option<u8> {
        let number = payload_type.to_string();
        let map = self.about("rtpmap", &number).next()?;
        if !map.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("rtx/")) {
            return None;
        }
        let mut parameters = self.about("fmtp", &number).flat_map(|value| value.split(';'));
        parameters.find_map(|pair| pair.trim().strip_prefix("apt=")?.parse().ok())
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
            payload.parameter_sets = get("sprop-parameter-sets").unwrap_or_default().into();
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
                (Some("goog-remb"), None) => feedback.remb = true,
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

    /// What a source sends again with, when the line says so (RFC 5576 section 4.2).
    fn retransmission_ssrc(&self, ssrc: u32) -> Option<u32> {
        let groups = self.line.attributes.iter().filter(|a| a.key == "ssrc-group");
        groups.filter_map(|attribute| attribute.value.as_deref()).find_map(|group| {
            let mut words = group.trim().strip_prefix("FID ")?.split_whitespace();
            let first: u32 = words.next()?.parse().ok()?;
            if first == ssrc { words.next()?.parse().ok() } else { None }
        })
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

    fn simulcast(&self) -> Option<Simulcast> {
        let rids = || self.line.attributes.iter().filter(|attribute| attribute.key == "rid");
        Simulcast::parse(self.value("simulcast")?, |name, way| {
            rids().filter_map(|rid| rid.value.as_deref()).any(|rid| {
                let mut words = rid.split_ascii_whitespace();
                words.next() == Some(name) && words.next() == Some(way)
            })
        })
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
    write_version(description, session_id, 1)
}

/// Writes a description that follows others of the same session; each has a higher
/// `version` than the one before (RFC 8866 section 5.2).
#[must_use]
pub fn write_version(description: &Description, session_id: u64, version: u64) -> String {
    let ip = description.address.ip();
    let address_type = if ip.is_ipv4() { "IP4" } else { "IP6" }.to_owned();
    let mids: Vec<String> = description.media.iter().map(|media| word(&media.mid)).collect();
    let accepted = description.media.iter().zip(&mids).filter(|(media, _)| !media.rejected);
    let mut group = "BUNDLE".to_owned();
    for (_, mid) in accepted {
        group.push(' ');
        group.push_str(mid);
    }
    let mut attributes = vec![attribute("group", Some(group))];
    if let Some(secure) = &description.secure {
        attributes.push(attribute("msid-semantic", Some(" WMS *".to_owned())));
        if secure.ice_lite {
            attributes.push(attribute("ice-lite", None));
        }
    }
    let first = description.media.iter().position(|media| !media.rejected);
    let lines = description.media.iter().zip(mids).enumerate();
    SessionDescription {
        version: 0,
        origin: Origin {
            username: "-".to_owned(),
            session_id,
            session_version: version,
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
        attributes,
        media_descriptions: lines
            .map(|(index, (media, mid))| {
                write_media(media, &mid, description, first == Some(index))
            })
            .collect(),
        ..SessionDescription::default()
    }
    .marshal()
}

fn write_media(
    media: &MediaDescription,
    mid: &str,
    description: &Description,
    first: bool,
) -> sdp_media::MediaDescription {
    let direction = match media.direction {
        Direction::SendReceive => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::ReceiveOnly => "recvonly",
        Direction::Inactive => "inactive",
    };
    let port =
        if media.rejected { 0 } else { isize::try_from(description.address.port()).unwrap_or(0) };
    let mut attributes = vec![attribute("mid", Some(mid.to_owned()))];
    let written = |name: &str, protos: &[&str], formats, attributes| sdp_media::MediaDescription {
        media_name: MediaName {
            media: name.to_owned(),
            port: RangedPort { value: port, range: None },
            protos: protos.iter().map(|&part| part.to_owned()).collect(),
            formats,
        },
        attributes,
        ..sdp_media::MediaDescription::default()
    };
    if media.kind == MediaKind::Data {
        attributes.push(attribute(direction, None));
        let formats = vec!["webrtc-datachannel".to_owned()];
        return written("application", &["UDP", "DTLS", "SCTP"], formats, attributes);
    }
    attributes.extend([attribute("rtcp-mux", None), attribute(direction, None)]);
    if let Some(secure) = description.secure.as_deref() {
        // On rejected lines, too: aiortc takes no description with a line that lacks them.
        let written = secure::write(secure, first);
        attributes.extend(written.into_iter().map(|(key, value)| attribute(key, value)));
        if media.direction.sends() && !media.rejected {
            attributes.push(attribute("msid", Some(format!("callrig {mid}"))));
        }
    }
    if media.kind == MediaKind::ScreenSharing {
        attributes.push(attribute("content", Some("slides".to_owned())));
    }
    for payload in &media.payloads {
        write_payload(payload, &mut attributes);
    }
    for ExtensionId { id, extension } in &media.extensions {
        attributes.push(attribute("extmap", Some(format!("{id} {}", extension.uri()))));
    }
    if let Some(simulcast) = &media.simulcast {
        let (way, value) = simulcast.write();
        let rids = simulcast.layers.iter().map(|name| format!("{name} {way}"));
        attributes.extend(rids.map(|rid| attribute("rid", Some(rid))));
        attributes.push(attribute("simulcast", Some(value)));
    }
    write_sources(media, &mut attributes);
    let mut formats: Vec<String> = media
        .payloads
        .iter()
        .flat_map(|payload| [Some(payload.payload_type), payload.retransmission])
        .flatten()
        .map(|number| number.to_string())
        .collect();
    if formats.is_empty() {
        // The grammar demands one: 19 is reserved (RFC 3551 table 4) and stands for nothing,
        // where 0 would be read back as µ-law.
        formats.push("19".to_owned());
    }
    let name = if media.kind == MediaKind::Audio { "audio" } else { "video" };
    let feedback = media.payloads.iter().any(|p| p.feedback != Feedback::default());
    match (&description.secure, feedback) {
        (Some(_), _) => written(name, &["UDP", "TLS", "RTP", "SAVPF"], formats, attributes),
        (None, true) => written(name, &["RTP", "AVPF"], formats, attributes),
        (None, false) => written(name, &["RTP", "AVP"], formats, attributes),
    }
}

fn write_sources(media: &MediaDescription, attributes: &mut Vec<Attribute>) {
    let Some(ssrc) = media.ssrc else { return };
    if let Some(again) = media.retransmission_ssrc {
        attributes.push(attribute("ssrc-group", Some(format!("FID {ssrc} {again}"))));
    }
    for ssrc in [Some(ssrc), media.retransmission_ssrc].into_iter().flatten() {
        attributes.push(attribute("ssrc", Some(format!("{ssrc} cname:callrig"))));
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
            if !payload.parameter_sets.is_empty() {
                parameters.push(format!("sprop-parameter-sets={}", payload.parameter_sets));
            }
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
    let Feedback { nack, pli, fir, transport_cc, remb } = payload.feedback;
    for (known, name) in [
        (nack, "nack"),
        (pli, "nack pli"),
        (fir, "ccm fir"),
        (transport_cc, "transport-cc"),
        (remb, "goog-remb"),
    ] {
        if known {
            attributes.push(attribute("rtcp-fb", Some(format!("{number} {name}"))));
        }
    }
    if let Some(again) = payload.retransmission {
        attributes.push(attribute("rtpmap", Some(format!("{again} rtx/{}", codec.clock_rate()))));
        attributes.push(attribute("fmtp", Some(format!("{again} apt={number}"))));
    }
}

fn attribute(key: &str, value: Option<String>) -> Attribute {
    Attribute { key: key.to_owned(), value }
}
