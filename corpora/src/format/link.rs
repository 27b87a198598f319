//! From a captured frame to the UDP datagram in it, and back.
//!
//! Link types as registered for pcap files: Ethernet (with 802.1Q and 802.1ad tags), raw IP,
//! Linux cooked v1 and v2, BSD loopback. IPv4 with options (RFC 791), IPv6 with extension headers
//! (RFC 8200). Fragments are not put together: the first one is handed out as a cut datagram.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use super::array_at;

/// A registered number that says what the frames of a capture begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: an address family of 4 bytes in the byte order of the machine.
    pub const NULL: Self = Self(0);
    /// Ethernet II.
    pub const ETHERNET: Self = Self(1);
    /// IPv4 or IPv6 without anything before it.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback: an address family of 4 bytes, most significant first.
    pub const LOOP: Self = Self(108);
    /// Linux "any" device, 16 bytes.
    pub const LINUX_COOKED: Self = Self(113);
    /// IPv4 without anything before it.
    pub const IPV4: Self = Self(228);
    /// IPv6 without anything before it.
    pub const IPV6: Self = Self(229);
    /// Linux "any" device, 20 bytes.
    pub const LINUX_COOKED_2: Self = Self(276);

    /// All that can be written.
    pub const WRITABLE: [Self; 8] = [
        Self::NULL,
        Self::ETHERNET,
        Self::RAW,
        Self::LOOP,
        Self::LINUX_COOKED,
        Self::IPV4,
        Self::IPV6,
        Self::LINUX_COOKED_2,
    ];
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            105 | 119 | 127 | 163 => write!(f, "link type {} (wireless LAN)", self.0),
            number => write!(f, "link type {number}"),
        }
    }
}

/// A UDP datagram found in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udp {
    /// Who sent it.
    pub source: SocketAddr,
    /// Whom to.
    pub destination: SocketAddr,
    /// Where its payload lies, relative to the frame.
    pub payload: Range<usize>,
    /// Bytes at its end that are not in the frame.
    pub missing: u32,
    /// It is the first of several fragments.
    pub fragment: bool,
    /// A length in it contradicts the frame.
    pub lying: bool,
}

/// Why there is no datagram in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoUdp {
    /// The link type cannot be read.
    UnknownLinkType,
    /// ARP, LLDP, ...
    NotIp,
    /// TCP, ICMP, ...
    NotUdp,
    /// A fragment other than the first.
    LaterFragment,
    /// It ends inside of a header.
    Short,
    /// A header contradicts itself.
    Malformed,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const UDP: u8 = 17;
/// Stacked VLAN tags; more is no real network.
const TAGS_MAX: usize = 8;
/// IPv6 extension headers before the transport; more is no real network.
const EXTENSIONS_MAX: usize = 16;

/// Finds the UDP datagram in a frame; `original_length` is the frame's length on the link.
#[inline]
pub fn parse_udp(frame: &[u8], link: LinkType, original_length: u32) -> Result<Udp, NoUdp> {
    // What the snap length cut off; a capture that claims less than it holds says nothing.
    let cut = (original_length as usize).saturating_sub(frame.len());
    match link.0 {
        1 => {
            let kind = u16_at(frame, 12).ok_or(NoUdp::Short)?;
            by_ethertype(frame, 14, kind, cut)
        }
        // 12 and 14 are what some BSDs call raw IP in files.
        12 | 14 | 101 | 228 | 229 => by_version(frame, 0, cut),
        113 => {
            let kind = u16_at(frame, 14).ok_or(NoUdp::Short)?;
            by_ethertype(frame, 16, kind, cut)
        }
        276 => {
            let kind = u16_at(frame, 0).ok_or(NoUdp::Short)?;
            by_ethertype(frame, 20, kind, cut)
        }
        // The address family's number for IPv6 differs between systems: the version does not.
        0 | 108 => by_version(frame, 4, cut),
        _ => Err(NoUdp::UnknownLinkType),
    }
}

#[inline]
fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array_at(bytes, offset).map(u16::from_be_bytes)
}

#[inline]
fn by_ethertype(frame: &[u8], mut at: usize, mut kind: u16, cut: usize) -> Result<Udp, NoUdp> {
    for _ in 0..=TAGS_MAX {
        match kind {
            ETHERTYPE_IPV4 => return ipv4(frame, at, cut),
            ETHERTYPE_IPV6 => return ipv6(frame, at, cut),
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                kind = u16_at(frame, at + 2).ok_or(NoUdp::Short)?;
                at += 4;
            }
            _ => return Err(NoUdp::NotIp),
        }
    }
    Err(NoUdp::Malformed)
}

fn by_version(frame: &[u8], at: usize, cut: usize) -> Result<Udp, NoUdp> {
    match frame.get(at).ok_or(NoUdp::Short)? >> 4 {
        4 => ipv4(frame, at, cut),
        6 => ipv6(frame, at, cut),
        _ => Err(NoUdp::NotIp),
    }
}

#[inline]
fn ipv4(frame: &[u8], at: usize, cut: usize) -> Result<Udp, NoUdp> {
    let header: [u8; 20] = array_at(frame, at).ok_or(NoUdp::Short)?;
    let header_length = usize::from(header[0] & 15) * 4;
    if header[0] >> 4 != 4 || header_length < 20 {
        return Err(NoUdp::Malformed);
    }
    if header[9] != UDP {
        return Err(NoUdp::NotUdp);
    }
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    if fragment & 0x1fff != 0 {
        return Err(NoUdp::LaterFragment);
    }
    let address = |at: usize| {
        IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]))
    };
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // Zero is what segmentation offload leaves behind: the frame says how long it is.
    let total = if total == 0 { frame.len() - at + cut } else { total };
    let length = total.checked_sub(header_length).ok_or(NoUdp::Malformed)?;
    let packet = Packet { at: at + header_length, length, fragment: fragment & 0x2000 != 0, cut };
    packet.udp(frame, address(12), address(16))
}

fn ipv6(frame: &[u8], at: usize, cut: usize) -> Result<Udp, NoUdp> {
    let header: [u8; 40] = array_at(frame, at).ok_or(NoUdp::Short)?;
    if header[0] >> 4 != 6 {
        return Err(NoUdp::Malformed);
    }
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // Zero stands for a jumbogram (RFC 2675): the frame says how long it is.
    let length = if length == 0 { (frame.len() - at + cut) - 40 } else { length };
    let end = at + 40 + length;
    let mut next = header[6];
    let mut at = at + 40;
    let mut fragment = false;
    for _ in 0..EXTENSIONS_MAX {
        let skip = match next {
            UDP => {
                let address = |from: usize| {
                    let octets: [u8; 16] = array_at(&header, from).expect("inside of the header");
                    IpAddr::V6(Ipv6Addr::from(octets))
                };
                let length = end.checked_sub(at).ok_or(NoUdp::Malformed)?;
                let packet = Packet { at, length, fragment, cut };
                return packet.udp(frame, address(8), address(24));
            }
            // Hop-by-hop options, routing, destination options, mobility, HIP, shim6.
            0 | 43 | 60 | 135 | 139 | 140 => {
                (usize::from(*frame.get(at + 1).ok_or(NoUdp::Short)?) + 1) * 8
            }
            // Authentication header (RFC 4302) counts in units of 4.
            51 => (usize::from(*frame.get(at + 1).ok_or(NoUdp::Short)?) + 2) * 4,
            44 => {
                let field = u16_at(frame, at + 2).ok_or(NoUdp::Short)?;
                if field >> 3 != 0 {
                    return Err(NoUdp::LaterFragment);
                }
                fragment |= field & 1 != 0;
                8
            }
            _ => return Err(NoUdp::NotUdp),
        };
        next = *frame.get(at).ok_or(NoUdp::Short)?;
        at += skip;
    }
    Err(NoUdp::Malformed)
}

/// What an IP header says of its payload.
struct Packet {
    at: usize,
    length: usize,
    fragment: bool,
    cut: usize,
}

impl Packet {
    #[inline]
    fn udp(&self, frame: &[u8], source: IpAddr, destination: IpAddr) -> Result<Udp, NoUdp> {
        let header: [u8; 8] = array_at(frame, self.at).ok_or(NoUdp::Short)?;
        let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let stated = match usize::from(number(4)) {
            0 => self.length,
            length => length,
        };
        if stated < 8 || self.length < 8 {
            return Err(NoUdp::Malformed);
        }
        let start = self.at + 8;
        let in_frame = frame.len() - start;
        // Padding of short frames lies behind the IP packet, so the smaller length counts.
        let in_packet = if self.fragment { self.length.min(stated) } else { stated } - 8;
        let held = in_packet.min(in_frame);
        let short_of_frame = in_packet - held;
        Ok(Udp {
            source: SocketAddr::new(source, number(0)),
            destination: SocketAddr::new(destination, number(2)),
            payload: start..start + held,
            missing: (stated - 8 - held) as u32,
            fragment: self.fragment,
            lying: (stated > self.length && !self.fragment) || short_of_frame > self.cut,
        })
    }
}

/// Why a datagram cannot be put into a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// One address is IPv4 and the other IPv6, or the link type holds only the other kind.
    #[error("{0} to {1}: both addresses must be of the version of IP that the link type holds")]
    Addresses(SocketAddr, SocketAddr),
    /// More than an IP packet can hold.
    #[error("a datagram of {0} bytes does not fit into an IP packet")]
    TooLong(usize),
    /// Not one of [`LinkType::WRITABLE`].
    #[error("frames of {0} cannot be written")]
    LinkType(LinkType),
}

/// Appends a frame that holds the datagram. `missing` bytes of the payload's end are not there,
/// but count in all lengths; then there is no UDP checksum.
pub fn write_udp(
    to: &mut Vec<u8>,
    link: LinkType,
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
    missing: u32,
) -> Result<(), WriteError> {
    let length = payload.len() + missing as usize + 8;
    let room = if source.is_ipv4() { 65_515 } else { 65_535 };
    if length > room {
        return Err(WriteError::TooLong(length - 8));
    }
    let version_fits = match link {
        LinkType::IPV4 => source.is_ipv4(),
        LinkType::IPV6 => source.is_ipv6(),
        _ => true,
    };
    if source.is_ipv4() != destination.is_ipv4() || !version_fits {
        return Err(WriteError::Addresses(source, destination));
    }
    write_link_header(to, link, source.is_ipv4())?;
    let udp_length = length as u16;
    let mut pseudo = Checksum(u32::from(UDP) + u32::from(udp_length));
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(until)) => {
            let mut header = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0];
            header[2..4].copy_from_slice(&(udp_length + 20).to_be_bytes());
            pseudo.add(&from.octets());
            pseudo.add(&until.octets());
            let mut sum = Checksum(0);
            sum.add(&header);
            sum.add(&from.octets());
            sum.add(&until.octets());
            header[10..].copy_from_slice(&sum.finish().to_be_bytes());
            to.extend(header);
            to.extend(from.octets());
            to.extend(until.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(until)) => {
            to.extend([0x60, 0, 0, 0]);
            to.extend(udp_length.to_be_bytes());
            to.extend([UDP, 64]);
            pseudo.add(&from.octets());
            pseudo.add(&until.octets());
            to.extend(from.octets());
            to.extend(until.octets());
        }
        _ => return Err(WriteError::Addresses(source, destination)),
    }
    let mut header = [0; 8];
    header[..2].copy_from_slice(&source.port().to_be_bytes());
    header[2..4].copy_from_slice(&destination.port().to_be_bytes());
    header[4..6].copy_from_slice(&udp_length.to_be_bytes());
    if missing == 0 {
        pseudo.add(&header);
        pseudo.add(payload);
        // Zero stands for "none" (RFC 768), so a sum of zero is sent as its other form.
        let sum = match pseudo.finish() {
            0 => 0xffff,
            sum => sum,
        };
        header[6..].copy_from_slice(&sum.to_be_bytes());
    }
    to.extend(header);
    to.extend(payload);
    Ok(())
}

fn write_link_header(to: &mut Vec<u8>, link: LinkType, ipv4: bool) -> Result<(), WriteError> {
    let ethertype = if ipv4 { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 }.to_be_bytes();
    // AF_INET is 2 everywhere; AF_INET6 is 30 on macOS, where such captures come from.
    let family: u32 = if ipv4 { 2 } else { 30 };
    match link {
        LinkType::ETHERNET => {
            // Locally administered addresses, since there was no card.
            to.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
            to.extend(ethertype);
        }
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => {}
        LinkType::NULL => to.extend(family.to_le_bytes()),
        LinkType::LOOP => to.extend(family.to_be_bytes()),
        LinkType::LINUX_COOKED => {
            to.extend([0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
            to.extend(ethertype);
        }
        LinkType::LINUX_COOKED_2 => {
            to.extend(ethertype);
            to.extend([0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
        }
        other => return Err(WriteError::LinkType(other)),
    }
    Ok(())
}

/// The Internet checksum (RFC 1071).
struct Checksum(u32);

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        let mut pairs = bytes.chunks_exact(2);
        let mut sum = u64::from(self.0);
        for pair in &mut pairs {
            sum += u64::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        if let [last] = pairs.remainder() {
            sum += u64::from(*last) << 8;
        }
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        self.0 = sum as u32;
    }

    fn finish(self) -> u16 {
        let folded = (self.0 & 0xffff) + (self.0 >> 16);
        !(folded as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn raw_ipv4(payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let (source, destination) = (address("10.0.0.1:1000"), address("10.0.0.2:2000"));
        write_udp(&mut frame, LinkType::RAW, source, destination, payload, 0).expect("it fits");
        frame
    }

    #[test]
    fn vlan_tags_are_passed_over_and_endless_ones_refused() {
        let inner = raw_ipv4(b"hello");
        let mut frame = vec![0; 12];
        frame.extend([0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0]);
        frame.extend(&inner);
        let udp = parse_udp(&frame, LinkType::ETHERNET, frame.len() as u32).expect("a datagram");
        assert_eq!(&frame[udp.payload], b"hello");
        let endless: Vec<u8> = [vec![0; 12], [0x81, 0, 0, 1].repeat(100)].concat();
        assert_eq!(parse_udp(&endless, LinkType::ETHERNET, 0), Err(NoUdp::Malformed));
    }

    #[test]
    fn options_of_ipv4_are_passed_over() {
        let mut frame = raw_ipv4(b"hello");
        frame[0] = 0x47;
        frame[3] += 8;
        frame.splice(20..20, [1; 8]);
        let udp = parse_udp(&frame, LinkType(12), frame.len() as u32).expect("a datagram");
        assert_eq!(&frame[udp.payload], b"hello");
    }

    #[test]
    fn extension_headers_of_ipv6_are_passed_over_and_fragments_told() {
        let mut frame = Vec::new();
        let (source, destination) = (address("[::1]:1"), address("[2001:db8::2]:2"));
        write_udp(&mut frame, LinkType::IPV6, source, destination, b"hello", 0).expect("it fits");
        frame[6] = 0;
        frame[5] += 16;
        frame.splice(40..40, [60, 0, 1, 4, 0, 0, 0, 0, UDP, 0, 1, 4, 0, 0, 0, 0]);
        let udp = parse_udp(&frame, LinkType::IPV6, frame.len() as u32).expect("a datagram");
        assert_eq!((udp.source, udp.destination), (source, destination));
        assert_eq!(&frame[udp.payload], b"hello");
        frame[40] = 44;
        frame[48..56].copy_from_slice(&[UDP, 0, 0, 1, 0, 0, 0, 9]);
        let udp = parse_udp(&frame, LinkType::IPV6, frame.len() as u32).expect("a datagram");
        assert!(udp.fragment);
        frame[51] = 9;
        let later = parse_udp(&frame, LinkType::IPV6, frame.len() as u32);
        assert_eq!(later, Err(NoUdp::LaterFragment));
    }

    #[test]
    fn what_the_snap_length_cut_off_is_missing_and_no_lie() {
        let frame = raw_ipv4(&[7; 100]);
        let cut = &frame[..60];
        let udp = parse_udp(cut, LinkType::RAW, frame.len() as u32).expect("a datagram");
        assert_eq!((udp.payload.len(), udp.missing, udp.lying), (32, 68, false));
        let udp = parse_udp(cut, LinkType::RAW, cut.len() as u32).expect("a datagram");
        assert_eq!((udp.missing, udp.lying), (68, true));
    }

    #[test]
    fn padding_of_short_frames_is_not_payload() {
        let mut frame = raw_ipv4(b"x");
        frame.extend([0; 20]);
        let udp = parse_udp(&frame, LinkType::IPV4, frame.len() as u32).expect("a datagram");
        assert_eq!((&frame[udp.payload], udp.lying), (&b"x"[..], false));
    }

    #[test]
    fn a_frame_with_the_checksums_of_another_implementation_is_written() {
        // RFC 1071 by hand: the sum over a right header, checksum included, is zero.
        let frame = raw_ipv4(b"abc");
        let mut sum = Checksum(0);
        sum.add(&frame[..20]);
        assert_eq!(sum.finish(), 0);
        let mut sum = Checksum(u32::from(UDP) + 11);
        sum.add(&frame[12..20]);
        sum.add(&frame[20..]);
        assert_eq!(sum.finish(), 0);
    }

    #[test]
    fn addresses_of_two_kinds_and_datagrams_too_long_are_refused() {
        let mut to = Vec::new();
        let (four, six) = (address("1.2.3.4:5"), address("[::1]:5"));
        let mixed = write_udp(&mut to, LinkType::RAW, four, six, b"", 0);
        assert!(matches!(mixed, Err(WriteError::Addresses(..))));
        let wrong = write_udp(&mut to, LinkType::IPV6, four, four, b"", 0);
        assert!(matches!(wrong, Err(WriteError::Addresses(..))));
        let long = write_udp(&mut to, LinkType::RAW, four, four, &[0; 65_508], 0);
        assert_eq!(long, Err(WriteError::TooLong(65_508)));
        let radio = write_udp(&mut to, LinkType(127), four, four, b"", 0);
        assert!(matches!(radio, Err(WriteError::LinkType(_))));
        assert!(to.is_empty());
    }
}
