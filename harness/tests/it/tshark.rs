//! Packets, loss, delta and jitter of every capture of the corpora, computed by our own
//! judges' measures, against the `rtp,streams` of tshark to the printed digit.
//!
//! tshark averages by rules of its own, which [`Columns`] applies; what we report follows
//! the RFCs. All captures go through it at once, one after the other in time, each flow
//! between addresses of its own and behind a SIP call whose SDP names its payload types:
//! tshark has no clock rate of a dynamic payload type otherwise.

use core::net::{Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use callrig::measure::arrivals::{self, Arrived};
use callrig::measure::reception::Reception;
use callrig_corpora::format::pcap::{Layout, Writer};
use callrig_corpora::manifest::Manifest;
use callrig_corpora::{ArrivalKind, Flow, Opened, open_path};
use callrig_media::time::Instant;

use crate::corpora;

/// The versions whose rules are known.
const KNOWN: &str = "4.0.";
/// A packet that tshark refuses, and RTP does not: one element of its two-byte extensions
/// (RFC 8285 section 4.3) lies about its length, which spoils the elements and not the packet.
const REFUSED: (&str, u16) = ("hostile/lying-lengths", 129);
/// When the first capture begins, in seconds since 1970.
const START: u64 = 1_767_225_600;

/// A flow of a capture, and where the capture for tshark has it.
struct Stream {
    name: String,
    source: SocketAddr,
    destination: SocketAddr,
    ssrc: u32,
    /// What its payload types stand for: name and clock rate.
    codecs: BTreeMap<u8, (String, u32)>,
    packets: Vec<Arrived>,
}

/// A line of `rtp,streams`, without the times and addresses.
#[derive(Clone, Debug)]
struct Columns {
    packets: u64,
    lost: i64,
    /// Least, mean and greatest time between two packets, in ms.
    delta: [f64; 3],
    /// The same of the interarrival jitter.
    jitter: [f64; 3],
}

impl Columns {
    /// Whether these are the figures that were printed, with three places. Which way half of
    /// the last place goes depends on when the capture began: times are binary fractions.
    fn are_printed(&self, printed: &Self) -> bool {
        let near = |ours: [f64; 3], theirs: [f64; 3]| {
            ours.iter().zip(theirs).all(|(ours, theirs)| (ours - theirs).abs() < 0.000_501)
        };
        (self.packets, self.lost) == (printed.packets, printed.lost)
            && near(self.delta, printed.delta)
            && near(self.jitter, printed.jitter)
    }
}

#[test]
fn every_capture_is_counted_as_tshark_counts_it() {
    let Some(version) = version() else {
        println!("skipped: tshark is not installed; `make test` installs it where it can");
        return;
    };
    if !version.starts_with(KNOWN) {
        println!("skipped: the rules of tshark {KNOWN}x are known, not those of {version}");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("all.pcap");
    let streams = write(&file);
    let said = streams_of(&file);
    let (mut wrong, mut regular) = (Vec::new(), 0);
    for stream in &streams {
        let (ours, jitter) = Columns::of(stream);
        if let Some(rate) = stream.regular_clock() {
            regular += 1;
            check_ours(stream, rate, &jitter, ours.lost);
        }
        match said.get(&(stream.source, stream.ssrc)) {
            Some(theirs) if ours.are_printed(theirs) => {}
            Some(theirs) => wrong.push(format!(
                "{} {:#010x}\n  ours   {ours:?}\n  theirs {theirs:?}",
                stream.name, stream.ssrc
            )),
            None => wrong
                .push(format!("{} {:#010x}: tshark has no such stream", stream.name, stream.ssrc)),
        }
    }
    assert!(regular > 80, "{regular} streams were compared with our own measures");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), streams.len(), wrong.join("\n"));
}

/// What our judges and reports say of a stream is what tshark says of it, packet by packet.
fn check_ours(stream: &Stream, rate: u32, jitter_ms: &[f64], lost: i64) {
    let name = &stream.name;
    let reception = Reception::of(&stream.packets, stream.ssrc, rate);
    assert_eq!(reception.jitter_ticks.len(), jitter_ms.len(), "{name}");
    for (ticks, ms) in reception.jitter_ticks.iter().zip(jitter_ms) {
        assert!(
            (ticks * 1e3 / f64::from(rate) - ms).abs() < 1e-6,
            "{name}: {ticks} ticks, {ms} ms"
        );
    }
    let last = reception.packets.last().map_or(0, |packet| packet.sequence);
    if reception.one_run && last + 1 == reception.expected as i64 {
        // How many wraps there were is a guess of tshark's.
        assert_eq!((reception.lost() - lost) % 65_536, 0, "{name}");
    }
}

/// Of the tshark that is installed, if one is.
fn version() -> Option<String> {
    let output = Command::new("tshark").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .map(ToOwned::to_owned)
}

/// Writes every capture of the corpora into one.
fn write(file: &Path) -> Vec<Stream> {
    let manifest = Manifest::read(&corpora().join("manifest.toml")).expect("it is in git");
    let to = std::io::BufWriter::new(std::fs::File::create(file).expect("writable"));
    let mut writer = Writer::new(to, Layout::default()).expect("there is room");
    let mut streams = Vec::new();
    let mut start = START * 1_000_000_000;
    for entry in &manifest.entries {
        let path = manifest.path_of(entry);
        let Ok(Opened::Recording(recording)) = open_path(&path) else { continue };
        let first = streams.len();
        for flow in &recording.flows {
            let number = streams.len() as u32;
            let stream = stream(&entry.id, flow, number);
            let invite = invite(&stream);
            writer
                .write_datagram(
                    start,
                    at(stream.source, 5_060),
                    at(stream.destination, 5_060),
                    invite.as_bytes(),
                    0,
                )
                .expect("there is room");
            streams.push(stream);
        }
        for arrival in &recording.arrivals {
            let (ArrivalKind::Rtp, Some(flow)) = (arrival.kind, arrival.flow) else { continue };
            let stream = &mut streams[first + usize::from(flow.0)];
            let now = start + arrival.offset.as_nanos() as u64;
            // What to make of a packet whose lengths lie is a matter of taste.
            let at = Instant::from_nanos(now - START * 1_000_000_000);
            let Some(packet) = arrivals::read(at, &arrival.payload) else { continue };
            if (&*entry.id, packet.sequence_number) == REFUSED {
                continue;
            }
            stream.packets.push(packet);
            let (from, to) = (stream.source, stream.destination);
            writer
                .write_datagram(now, from, to, &arrival.payload, u32::from(arrival.missing))
                .expect("there is room");
        }
        start += recording.duration().as_nanos() as u64 + 1_000_000_000;
    }
    writer.finish().expect("there is room");
    streams
}

fn stream(name: &str, flow: &Flow, number: u32) -> Stream {
    let known = flow.payloads.iter().filter_map(|payload| {
        let codec = payload.codec.as_ref()?.name().to_owned();
        Some((payload.payload_type, (codec, payload.clock_rate?)))
    });
    let address = |net: u32| Ipv4Addr::from(net + number);
    Stream {
        name: name.to_owned(),
        source: SocketAddr::from((address(0x0a01_0000), 5_004)),
        destination: SocketAddr::from((address(0x0a02_0000), 5_004)),
        ssrc: flow.ssrc,
        codecs: known.collect(),
        packets: Vec::new(),
    }
}

/// The call that tells tshark what the payload types of a stream stand for.
fn invite(stream: &Stream) -> String {
    let (from, to) = (stream.source.ip(), stream.destination.ip());
    let types: String = stream.codecs.keys().map(|number| format!(" {number}")).collect();
    let maps = stream.codecs.iter().map(|(number, (codec, rate))| {
        let channels = if codec == "opus" { "/2" } else { "" };
        format!("a=rtpmap:{number} {codec}/{rate}{channels}\r\n")
    });
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 {to}\r\ns=-\r\nc=IN IP4 {to}\r\nt=0 0\r\nm=audio {} RTP/AVP{types}\r\n{}",
        stream.destination.port(),
        maps.collect::<String>()
    );
    format!(
        "INVITE sip:b@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from}:5060;branch=z9hG4bK{to}\r\n\
         From: <sip:a@{from}>;tag=1\r\nTo: <sip:b@{to}>\r\nCall-ID: {from}-{to}\r\nCSeq: 1 INVITE\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

/// What `rtp,streams` says, by source address and SSRC.
fn streams_of(file: &Path) -> BTreeMap<(SocketAddr, u32), Columns> {
    let output = Command::new("tshark")
        .args(["-n", "-q", "-z", "rtp,streams", "-r"])
        .arg(file)
        .output()
        .expect("it was found before");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().filter_map(line).collect()
}

/// `start end address port address port ssrc payload packets lost (share%) 3×delta 3×jitter [X]`;
/// the names of several payloads are set apart by commas.
fn line(text: &str) -> Option<((SocketAddr, u32), Columns)> {
    let (before, after) = text.split_once(" 0x")?;
    let mut words = before.split_whitespace().skip(2);
    let source = SocketAddr::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (counts, figures) = after.split_once("%)")?;
    let words: Vec<&str> = counts.split_whitespace().collect();
    let [.., packets, lost, _] = words[..] else { return None };
    let figures = figures.split_whitespace().map_while(|word| word.parse().ok());
    let figures: Vec<f64> = figures.collect();
    let columns = Columns {
        packets: packets.parse().ok()?,
        lost: lost.parse().ok()?,
        delta: figures.get(..3)?.try_into().ok()?,
        jitter: figures.get(3..6)?.try_into().ok()?,
    };
    Some(((source, u32::from_str_radix(words.first()?, 16).ok()?), columns))
}

/// Least, mean and greatest of a figure, as tshark keeps them.
#[derive(Default)]
struct Range {
    least: Option<f64>,
    mean: f64,
    greatest: f64,
}

impl Range {
    /// Takes in one more; `before` packets were received before it, those that are left out
    /// of the mean among them.
    fn push(&mut self, value: f64, before: usize) {
        self.least = Some(self.least.map_or(value, |least| least.min(value)));
        self.greatest = self.greatest.max(value);
        let before = before as f64;
        self.mean = (self.mean * (before - 1.0) + value) / before;
    }

    fn told(&self) -> [f64; 3] {
        [self.least.unwrap_or(-1.0), self.mean, self.greatest]
    }
}

impl Columns {
    /// By tshark's rules: jitter follows RFC 3550 section 6.4.1 over the packets in order of
    /// arrival, but time on the RTP clock is told in ms since the first packet, by the clock
    /// of the packet at hand, so that a change of clocks is a leap; telephone events have no
    /// such time, though what arrives after them is timed from them; packets from before the
    /// first timestamp move nothing. Neither they nor packets with the marker bit, nor
    /// comfort noise and what follows it, enter the figures.
    fn of(stream: &Stream) -> (Self, Vec<f64>) {
        let (mut delta, mut jitter) = (Range::default(), Range::default());
        let first = &stream.packets[0];
        let (mut last, mut payload_type) = (first.at, first.payload_type);
        let (mut nominal_before, mut smooth, mut all) = (0.0, 0.0, vec![0.0]);
        let noise = |payload_type: u8| matches!(payload_type, 13 | 19);
        for (before, packet) in stream.packets.iter().enumerate().skip(1) {
            let follows_noise = noise(payload_type);
            payload_type = packet.payload_type;
            if is_past(packet, first) {
                continue;
            }
            let spacing = packet.at.signed_nanos_since(last) as f64 / 1e6;
            let rate = stream.clock_rate(packet.payload_type);
            if let Some(rate) = rate {
                let ticks = packet.timestamp.wrapping_sub(first.timestamp);
                let nominal = f64::from(ticks) / f64::from(rate / 1_000);
                smooth = (15.0 * smooth + (spacing - (nominal - nominal_before)).abs()) / 16.0;
                nominal_before = nominal;
                all.push(smooth);
            }
            if !packet.marker && !noise(packet.payload_type) && !follows_noise {
                delta.push(spacing, before);
                if rate.is_some() {
                    jitter.push(smooth, before);
                }
            }
            last = packet.at;
        }
        let columns = Self {
            packets: stream.packets.len() as u64,
            lost: lost(&stream.packets),
            delta: delta.told(),
            jitter: jitter.told(),
        };
        (columns, all)
    }
}

impl Stream {
    /// By which tshark counts: none for events, whose timestamp stands still.
    fn clock_rate(&self, payload_type: u8) -> Option<u32> {
        let (codec, rate) = self.codecs.get(&payload_type)?;
        (codec != "telephone-event").then_some(*rate)
    }

    /// The one clock of its packets, if tshark has no rule of its own for any of them: then
    /// its jitter and loss are those of the RFC, and ours.
    fn regular_clock(&self) -> Option<u32> {
        let rate = self.clock_rate(self.packets[0].payload_type)?;
        let same = |packet: &Arrived| self.clock_rate(packet.payload_type) == Some(rate);
        let regular = |packet: &Arrived| same(packet) && !is_past(packet, &self.packets[0]);
        self.packets.iter().all(regular).then_some(rate)
    }
}

fn is_past(packet: &Arrived, first: &Arrived) -> bool {
    packet.timestamp.wrapping_sub(first.timestamp).cast_signed() < 0
}

/// Numbers from the first to the last that arrived, less the packets: copies lower it. A
/// number below the first one is taken for a wrap, again and again where late packets from
/// before the wrap come in between.
fn lost(packets: &[Arrived]) -> i64 {
    let first = &packets[0];
    let (mut wraps, mut under, mut last) = (0i64, false, first.sequence_number);
    for packet in packets {
        let number = packet.sequence_number;
        if !is_past(packet, first) {
            let wraps_now = number < first.sequence_number || (number == 0 && last == u16::MAX);
            if wraps_now && !under {
                (wraps, under) = (wraps + 1, true);
            } else if number > first.sequence_number {
                under = false;
            }
        }
        last = number;
    }
    let reached = wraps * 65_536 + i64::from(last);
    reached - i64::from(first.sequence_number) + 1 - packets.len() as i64
}

/// Port `port` of the same host.
const fn at(address: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), port)
}
