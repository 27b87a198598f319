//! A capture, opened: routes, flows and arrivals, whatever the file format.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::arrival::{Arrival, ArrivalKind};
use crate::flow::discovery::{Discovery, Observed, Verdicts};
use crate::flow::{Flow, FlowId, Hints, description};
use crate::format::link::{self, NoUdp};
use crate::format::{Captured, Fault, Warning, WarningKind, Warnings, pcap, pcapng, rtpdump};

/// Different pairs of addresses in one recording; datagrams of further ones are left out.
pub const ROUTES_MAX: usize = 65_535;

/// Index of a [`Route`] in [`Recording::routes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u16);

/// One direction between two UDP ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Who sends.
    pub source: SocketAddr,
    /// Who receives.
    pub destination: SocketAddr,
}

/// The format of a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaptureFormat {
    /// See [`pcap`].
    Pcap,
    /// See [`pcapng`].
    Pcapng,
    /// See [`rtpdump`].
    Rtpdump,
}

impl CaptureFormat {
    /// The usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
            Self::Rtpdump => "rtpdump",
        }
    }
}

/// What a capture holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The file's format.
    pub format: CaptureFormat,
    /// When the first datagram arrived, in nanoseconds since 1970.
    pub start: u64,
    /// Who sends to whom, in order of first arrival.
    pub routes: Vec<Route>,
    /// The RTP flows found, in order of first arrival.
    pub flows: Vec<Flow>,
    /// All datagrams, in order of time.
    pub arrivals: Vec<Arrival>,
    /// Frames that hold no UDP datagram (TCP, ARP, ...), or one too short to read.
    pub not_udp: u64,
    /// What is wrong with the file, without making it unusable.
    pub warnings: Vec<Warning>,
}

impl Recording {
    /// Reads a capture of this format and finds its flows.
    pub fn read(bytes: &Bytes, format: CaptureFormat, hints: &Hints) -> Result<Self, Fault> {
        let mut gathering = Gathering::new(bytes, hints);
        match format {
            CaptureFormat::Pcap => {
                let mut reader = pcap::Reader::new(bytes)?;
                for captured in &mut reader {
                    gathering.push_frame(&captured);
                }
                Ok(gathering.finish(format, reader.into_warnings()))
            }
            CaptureFormat::Pcapng => {
                let mut reader = pcapng::Reader::new(bytes)?;
                for captured in &mut reader {
                    gathering.push_frame(&captured);
                }
                Ok(gathering.finish(format, reader.into_warnings()))
            }
            CaptureFormat::Rtpdump => {
                let mut reader = rtpdump::Reader::new(bytes)?;
                let (address, start) = (reader.address(), reader.start());
                for record in &mut reader {
                    gathering.push_record(&record, address, start);
                }
                Ok(gathering.finish(format, reader.into_warnings()))
            }
        }
    }

    /// The flow of this id.
    pub fn flow(&self, id: FlowId) -> &Flow {
        &self.flows[usize::from(id.0)]
    }

    /// The route of this id.
    pub fn route(&self, id: RouteId) -> Route {
        self.routes[usize::from(id.0)]
    }

    /// From the first to the last arrival.
    pub fn duration(&self) -> Duration {
        self.arrivals.last().map(|arrival| arrival.offset).unwrap_or_default()
    }

    /// How many arrivals there are of a kind.
    pub fn count_of(&self, kind: ArrivalKind) -> u64 {
        self.arrivals.iter().filter(|arrival| arrival.kind == kind).count() as u64
    }
}

/// Recently used routes, by a few bits of their ports: one lookup instead of a hash of 36 bytes.
const RECENT: usize = 64;

/// Collects arrivals while a file is read.
struct Gathering<'a> {
    bytes: &'a Bytes,
    hints: &'a Hints,
    recent: [Option<(Route, RouteId)>; RECENT],
    by_route: HashMap<Route, RouteId>,
    routes: Vec<Route>,
    discovery: Discovery,
    descriptions: description::Descriptions,
    /// Offsets are absolute until the end, when the earliest is known.
    arrivals: Vec<Arrival>,
    last_at: u64,
    first_at: u64,
    sorted: bool,
    not_udp: u64,
    warnings: Warnings,
}

impl<'a> Gathering<'a> {
    fn new(bytes: &'a Bytes, hints: &'a Hints) -> Self {
        // A small RTP packet takes about 100 bytes of a file: large enough to seldom grow, and
        // less than the file itself.
        let guess = bytes.len() / 128;
        Self {
            bytes,
            hints,
            recent: [None; RECENT],
            by_route: HashMap::new(),
            routes: Vec::new(),
            discovery: Discovery::new(),
            descriptions: description::Descriptions::default(),
            arrivals: Vec::with_capacity(guess),
            last_at: 0,
            first_at: u64::MAX,
            sorted: true,
            not_udp: 0,
            warnings: Warnings::default(),
        }
    }

    #[inline]
    fn push_frame(&mut self, captured: &Captured) {
        let start = captured.data.start;
        let frame = &self.bytes[captured.data.clone()];
        let udp = match link::parse_udp(frame, captured.link, captured.original_length) {
            Ok(udp) => udp,
            Err(reason) => return self.no_datagram(reason, captured),
        };
        if udp.fragment {
            self.warnings.add(start, WarningKind::FirstFragments);
        } else if udp.lying {
            self.warnings.add(start, WarningKind::LyingLength);
        } else if udp.missing > 0 {
            self.warnings.add(start, WarningKind::CutDatagrams);
        }
        let route = Route { source: udp.source, destination: udp.destination };
        let range = start + udp.payload.start..start + udp.payload.end;
        self.push(captured.at, route, range, udp.missing, false);
    }

    fn no_datagram(&mut self, reason: NoUdp, captured: &Captured) {
        let start = captured.data.start;
        match reason {
            NoUdp::UnknownLinkType => {
                self.warnings.add(start, WarningKind::UnknownLinkType(captured.link));
            }
            NoUdp::LaterFragment => self.warnings.add(start, WarningKind::LaterFragments),
            NoUdp::Malformed => self.warnings.add(start, WarningKind::LyingLength),
            NoUdp::NotIp | NoUdp::NotUdp | NoUdp::Short => {}
        }
        self.not_udp += 1;
    }

    fn push_record(&mut self, record: &rtpdump::Record, address: SocketAddr, start: u64) {
        let unspecified = match address {
            SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
        };
        let mut destination = address;
        if record.rtcp {
            destination.set_port(address.port().saturating_add(1));
        }
        if record.missing > 0 {
            self.warnings.add(record.data.start, WarningKind::CutDatagrams);
        }
        let at = start.saturating_add(u64::from(record.offset_ms) * 1_000_000);
        let route = Route { source: unspecified, destination };
        self.push(at, route, record.data.clone(), record.missing, record.rtcp);
    }

    #[inline]
    fn push(
        &mut self,
        at: u64,
        route: Route,
        range: std::ops::Range<usize>,
        missing: u32,
        rtcp: bool,
    ) {
        let Some(id) = self.route_id(route) else {
            self.warnings.add(range.start, WarningKind::TooManyRoutes);
            return;
        };
        self.sorted &= at >= self.last_at;
        if at < self.last_at {
            self.warnings.add(range.start, WarningKind::TimesOutOfOrder);
        }
        self.last_at = at;
        self.first_at = self.first_at.min(at);
        let payload = self.bytes.slice(range.clone());
        let index = self.arrivals.len() as u32;
        // A format that marks RTCP is believed: such a packet must not count for a flow.
        let observed = match rtcp {
            true => Observed { kind: ArrivalKind::Rtcp, candidate: None, dropped_source: false },
            false => self.discovery.observe(id, at, index, &payload, missing > 0),
        };
        if observed.dropped_source {
            self.warnings.add(range.start, WarningKind::TooManySources);
        }
        if observed.kind == ArrivalKind::Other {
            self.descriptions.scan(&payload);
        }
        self.arrivals.push(Arrival {
            offset: Duration::from_nanos(at),
            route: id,
            flow: observed.candidate,
            kind: observed.kind,
            missing: u16::try_from(missing).unwrap_or(u16::MAX),
            payload,
        });
    }

    #[inline]
    fn route_id(&mut self, route: Route) -> Option<RouteId> {
        let slot = usize::from(route.source.port() ^ route.destination.port().rotate_left(3));
        let slot = slot % RECENT;
        if let Some((known, id)) = self.recent[slot]
            && known == route
        {
            return Some(id);
        }
        let id = match self.by_route.get(&route) {
            Some(id) => *id,
            None if self.routes.len() >= ROUTES_MAX => return None,
            None => {
                let id = RouteId(self.routes.len() as u16);
                self.routes.push(route);
                self.by_route.insert(route, id);
                id
            }
        };
        self.recent[slot] = Some((route, id));
        Some(id)
    }

    fn finish(mut self, format: CaptureFormat, mut warnings: Warnings) -> Recording {
        let Verdicts { flows, of_candidate } = self.discovery.conclude(
            &self.arrivals,
            &self.routes,
            self.hints,
            &self.descriptions,
            self.first_at,
        );
        let start = if self.arrivals.is_empty() { 0 } else { self.first_at };
        let first = Duration::from_nanos(start);
        let by_ssrc: HashMap<u32, FlowId> =
            flows.iter().rev().map(|flow| (flow.ssrc, flow.id)).collect();
        for arrival in &mut self.arrivals {
            arrival.offset -= first;
            arrival.flow = match arrival.kind {
                ArrivalKind::Rtp => {
                    arrival.flow.and_then(|candidate| of_candidate[usize::from(candidate.0)])
                }
                ArrivalKind::Rtcp => match crate::rtp::classify(&arrival.payload, true) {
                    crate::rtp::Class::Rtcp(Some(ssrc)) => by_ssrc.get(&ssrc).copied(),
                    _ => None,
                },
                ArrivalKind::Other => None,
            };
            if arrival.kind == ArrivalKind::Rtp && arrival.flow.is_none() {
                arrival.kind = ArrivalKind::Other;
            }
        }
        if !self.sorted {
            self.arrivals.sort_by_key(|arrival| arrival.offset);
        }
        for warning in self.warnings.into_vec() {
            warnings.append(warning);
        }
        Recording {
            format,
            start,
            routes: self.routes,
            flows,
            arrivals: self.arrivals,
            not_udp: self.not_udp,
            warnings: warnings.into_vec(),
        }
    }
}
