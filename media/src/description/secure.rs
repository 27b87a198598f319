//! What WebRTC adds to a description: how a way through the network is found (ICE, RFC
//! 8445) and whose certificate guards it (DTLS-SRTP, RFC 5763). Deviation: fingerprints are
//! SHA-256 ones, which everybody has; others are left out on reading.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// How many candidates of a peer are kept; those behind are left out.
pub const CANDIDATES_MAX: usize = 32;

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// A text that is no SHA-256 fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 32 bytes in hexadecimal with colons between them")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let mut parts = text.trim().split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(FingerprintError)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| FingerprintError)?;
        }
        if parts.next().is_some() { Err(FingerprintError) } else { Ok(Self(bytes)) }
    }
}

/// Who begins the DTLS handshake (RFC 8842 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setup {
    /// Whichever the other side likes; only in an offer.
    #[default]
    ActPass,
    /// The describing side begins.
    Active,
    /// The other side begins.
    Passive,
}

impl Setup {
    /// Its name in `a=setup`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }

    /// From the name in `a=setup`; `holdconn` is no state that media can flow in.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ActPass, Self::Active, Self::Passive].into_iter().find(|one| one.name() == name)
    }

    /// What is answered to an offer of this: the offering side begins where it may choose,
    /// since its first packets may already be on the way.
    #[must_use]
    pub const fn answered(self) -> Self {
        match self {
            Self::ActPass | Self::Active => Self::Passive,
            Self::Passive => Self::Active,
        }
    }
}

/// How a candidate was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CandidateKind {
    /// An address of the machine itself.
    Host,
    /// What a server on the network saw.
    ServerReflexive,
    /// What the peer saw.
    PeerReflexive,
    /// An address of a relay.
    Relayed,
}

impl CandidateKind {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Host, Self::ServerReflexive, Self::PeerReflexive, Self::Relayed];

    /// Its name behind `typ`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }
}

/// What a candidate's datagrams travel in (RFC 6544 for TCP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Carrier {
    /// UDP.
    Udp,
    /// TCP, and its describer connects.
    TcpActive,
    /// TCP, and its describer listens.
    TcpPassive,
    /// TCP, and both connect at once.
    TcpSimultaneous,
}

impl Carrier {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Udp, Self::TcpActive, Self::TcpPassive, Self::TcpSimultaneous];

    /// Its name behind `tcptype`; none for UDP.
    #[must_use]
    pub const fn tcp_type(self) -> Option<&'static str> {
        match self {
            Self::Udp => None,
            Self::TcpActive => Some("active"),
            Self::TcpPassive => Some("passive"),
            Self::TcpSimultaneous => Some("so"),
        }
    }
}

/// An address at which a side may be reached (RFC 8839 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Alike for candidates that are likely to work alike.
    pub foundation: String,
    /// Higher is better.
    pub priority: u32,
    /// Where.
    pub address: SocketAddr,
    /// What its datagrams travel in.
    pub carrier: Carrier,
    /// How it was found.
    pub kind: CandidateKind,
}

impl Candidate {
    /// The only candidate of a side that has one address (RFC 8445 section 5.1.2.1).
    #[must_use]
    pub fn host(address: SocketAddr) -> Self {
        Self::host_after(0, address)
    }

    /// One of a side with several addresses, with so many better ones before it.
    #[must_use]
    pub fn host_after(better: u16, address: SocketAddr) -> Self {
        Self {
            foundation: (u32::from(better) + 1).to_string(),
            priority: (126 << 24) | (u32::from(u16::MAX - better) << 8) | 255,
            address,
            carrier: Carrier::Udp,
            kind: CandidateKind::Host,
        }
    }

    /// One at which a side listens for connections (RFC 6544 section 4.2): any by UDP is better.
    #[must_use]
    pub fn tcp_passive(better: u16, address: SocketAddr) -> Self {
        // Local preference: passive is 4 of 7 in the upper three bits (section 4.2).
        let preference = (4 << 13) | u32::from(0x1fff - better.min(0x1fff));
        Self {
            foundation: format!("t{}", u32::from(better) + 1),
            priority: (80 << 24) | (preference << 8) | 255,
            address,
            carrier: Carrier::TcpPassive,
            kind: CandidateKind::Host,
        }
    }

    /// Reads what stands behind `a=candidate:`. Nothing for what this project has no use
    /// for: names instead of addresses (mDNS), components other than RTP, unknown carriers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let foundation = words.next().filter(|word| word.len() <= 32)?.to_owned();
        let component: u16 = words.next()?.parse().ok()?;
        let protocol = words.next()?;
        let priority = words.next()?.parse().ok()?;
        let address = words.next()?.parse().ok()?;
        let port = words.next()?.parse().ok()?;
        let named = (words.next()? == "typ").then(|| words.next()).flatten()?;
        let kind = CandidateKind::ALL.into_iter().find(|kind| kind.name() == named)?;
        let rest: Vec<&str> = words.collect();
        let tcp_type = rest.chunks(2).find(|pair| pair[0] == "tcptype").map(|pair| pair.get(1));
        let tcp_type = if protocol.eq_ignore_ascii_case("udp") {
            None
        } else if protocol.eq_ignore_ascii_case("tcp") {
            Some(*tcp_type??)
        } else {
            return None;
        };
        let carrier = Carrier::ALL.into_iter().find(|carrier| carrier.tcp_type() == tcp_type)?;
        let address = SocketAddr::new(address, port);
        (component == 1).then_some(Self { foundation, priority, address, carrier, kind })
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, priority, address, carrier, kind } = self;
        let protocol = if carrier.tcp_type().is_some() { "tcp" } else { "udp" };
        let (ip, port, kind) = (address.ip(), address.port(), kind.name());
        let foundation = super::word(foundation);
        write!(f, "{foundation} 1 {protocol} {priority} {ip} {port} typ {kind}")?;
        match carrier.tcp_type() {
            Some(tcp_type) => write!(f, " tcptype {tcp_type}"),
            None => Ok(()),
        }
    }
}

/// How a side is reached, and by which certificate it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secure {
    /// User fragment: 4 to 256 characters (RFC 8839 section 5.4).
    pub ufrag: String,
    /// 22 to 256 characters.
    pub password: String,
    /// It only answers checks (RFC 8445 section 2.5).
    pub ice_lite: bool,
    /// Of the certificate that it shows in the handshake.
    pub fingerprint: Fingerprint,
    /// Who begins the handshake.
    pub setup: Setup,
    /// Where it may be reached, in its order.
    pub candidates: Vec<Candidate>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_browsers_are_read_and_written() {
        for text in [
            "842163049 1 udp 1677729535 192.0.2.9 51472 typ srflx",
            "1 1 tcp 1518280447 2001:db8::1 9 typ host tcptype active",
        ] {
            let candidate = Candidate::parse(text).expect("it is one");
            assert_eq!(candidate.to_string(), text);
        }
        let long = "1467250027 1 udp 2122260223 192.0.2.1 46243 typ host generation 0 network-id 1";
        assert_eq!(Candidate::parse(long).map(|c| c.address.port()), Some(46_243));
        let tcp = "3 1 TCP 15 192.0.2.1 9 typ host generation 0 tcptype passive";
        assert_eq!(Candidate::parse(tcp).map(|c| c.carrier), Some(Carrier::TcpPassive));
    }

    #[test]
    fn candidates_of_no_use_are_left_out() {
        for text in [
            "",
            "1 1 udp 5 abcd.local 4000 typ host",
            "1 2 udp 5 192.0.2.1 4000 typ host",
            "1 1 sctp 5 192.0.2.1 4000 typ host",
            "1 1 tcp 5 192.0.2.1 4000 typ host",
            "1 1 tcp 5 192.0.2.1 4000 typ host tcptype",
            "1 1 udp 5 192.0.2.1 70000 typ host",
            "1 1 udp 5 192.0.2.1 4000 typ wormhole",
            "1 1 udp 5 192.0.2.1 4000 host",
        ] {
            assert_eq!(Candidate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_fingerprint_is_read_as_it_was_written() {
        let fingerprint = Fingerprint(core::array::from_fn(|index| index as u8 * 7));
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        let text = fingerprint.to_string();
        for wrong in [&text[3..], &text.replace(':', ""), "", &format!("{text}:00"), "zz:zz"] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(FingerprintError), "{wrong}");
        }
    }

    #[test]
    fn an_answer_says_who_of_the_two_begins() {
        assert_eq!(Setup::ActPass.answered(), Setup::Passive);
        assert_eq!(Setup::Active.answered(), Setup::Passive);
        assert_eq!(Setup::Passive.answered(), Setup::Active);
        assert_eq!(Setup::from_name("holdconn"), None);
    }
}
