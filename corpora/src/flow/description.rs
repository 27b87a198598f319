//! Session descriptions (RFC 4566) in SIP messages of a capture: what payload types stand for.
//!
//! Only `m=` and `a=rtpmap` lines of UDP datagrams are read, and only so many of them; everything
//! else of SIP and SDP is passed over.

use std::collections::BTreeMap;

use crate::codec::Codec;

/// Messages that are read.
const MESSAGES_MAX: usize = 256;
/// Ports that are remembered.
const PORTS_MAX: usize = 1_024;
/// Lines of one message that are read.
const LINES_MAX: usize = 512;

/// What the session descriptions in a capture say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Descriptions {
    messages: usize,
    ports: BTreeMap<u16, BTreeMap<u8, (Codec, u32)>>,
}

impl Descriptions {
    /// Reads a datagram if it is a SIP message with a session description.
    pub fn scan(&mut self, datagram: &[u8]) {
        let sip = datagram.first().is_some_and(u8::is_ascii_uppercase)
            && datagram.windows(7).take(2_048).any(|window| window == b"SIP/2.0");
        if !sip || self.messages >= MESSAGES_MAX {
            return;
        }
        self.messages += 1;
        let mut port = None;
        let lines = datagram.split(|byte| *byte == b'\n').take(LINES_MAX);
        for line in lines.filter_map(|line| std::str::from_utf8(line).ok()) {
            let line = line.trim_end();
            if let Some(media) = line.strip_prefix("m=") {
                port = media.split(' ').nth(1).and_then(|port| port.parse().ok());
                if let Some(port) = port
                    && self.ports.len() < PORTS_MAX
                {
                    self.ports.entry(port).or_default();
                }
            } else if let Some(map) = line.strip_prefix("a=rtpmap:")
                && let Some((payload_type, codec)) = rtpmap(map)
                && let Some(known) = port.and_then(|port| self.ports.get_mut(&port))
            {
                known.insert(payload_type, codec);
            }
        }
    }

    /// What a payload type stands for in packets between these ports. The receiver's description
    /// says it (RFC 3264 section 5.1); the sender's own is second best.
    pub fn codec(&self, source: u16, destination: u16, payload_type: u8) -> Option<(Codec, u32)> {
        [destination, source]
            .iter()
            .find_map(|port| self.ports.get(port)?.get(&payload_type).cloned())
    }

    /// Whether media was described for either port.
    pub fn knows(&self, source: u16, destination: u16) -> bool {
        self.ports.contains_key(&source) || self.ports.contains_key(&destination)
    }
}

/// `PT NAME/RATE[/CHANNELS]`.
fn rtpmap(text: &str) -> Option<(u8, (Codec, u32))> {
    let (payload_type, encoding) = text.split_once(' ')?;
    let mut parts = encoding.trim().split('/');
    let codec = Codec::from_name(parts.next()?);
    let rate = parts.next()?.parse().ok().filter(|rate| *rate > 0)?;
    let payload_type: u8 = payload_type.parse().ok()?;
    (payload_type < 128).then_some((payload_type, (codec, rate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtpmaps_of_a_sip_message_are_known_by_port() {
        let message =
            b"INVITE sip:bob@example.com SIP/2.0\r\nContent-Type: application/sdp\r\n\r\n\
            v=0\r\nm=audio 4000 RTP/AVP 111 101\r\na=rtpmap:111 opus/48000/2\r\n\
            a=rtpmap:101 telephone-event/48000\r\nm=video 4002 RTP/AVP 96\r\n\
            a=rtpmap:96 H264/90000\r\na=rtpmap:97 broken\r\n";
        let mut descriptions = Descriptions::default();
        descriptions.scan(message);
        assert_eq!(descriptions.codec(9, 4000, 111), Some((Codec::Opus, 48_000)));
        assert_eq!(descriptions.codec(4000, 9, 101), Some((Codec::TelephoneEvent, 48_000)));
        assert_eq!(descriptions.codec(9, 4002, 96), Some((Codec::H264, 90_000)));
        assert_eq!(descriptions.codec(9, 4000, 96), None);
        assert!(descriptions.knows(9, 4002) && !descriptions.knows(9, 10));
    }

    #[test]
    fn only_so_many_messages_are_read() {
        let mut descriptions = Descriptions::default();
        for port in 0..10_000 {
            let message = format!("OPTIONS SIP/2.0\nm=audio {port} RTP/AVP 0\n");
            descriptions.scan(message.as_bytes());
        }
        assert_eq!(descriptions.ports.len(), MESSAGES_MAX);
    }
}
