//! Flows are found by themselves, and what they carry is guessed right.

use std::net::SocketAddr;

use callrig_corpora::format::pcap;
use callrig_corpora::{
    ArrivalKind, Codec, Confidence, Opened, Options, Recording, open_bytes, open_bytes_with,
};

fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

/// A capture in the making.
struct Capture(pcap::Writer<Vec<u8>>);

impl Capture {
    fn new() -> Self {
        Self(pcap::Writer::new(Vec::new(), pcap::Layout::default()).expect("memory"))
    }

    fn send(&mut self, at_ms: u64, port: u16, datagram: &[u8]) {
        let (source, destination) = (address(1, port), address(2, port + 1_000));
        self.0.write_datagram(at_ms * 1_000_000, source, destination, datagram, 0).expect("fits");
    }

    fn bytes(self) -> Vec<u8> {
        self.0.finish().expect("memory")
    }

    fn open(self) -> Recording {
        self.open_with(&Options::default())
    }

    fn open_with(self, options: &Options) -> Recording {
        match open_bytes_with("test", self.bytes().into(), options).expect("it opens") {
            Opened::Recording(recording) => recording,
            other => panic!("taken for {}", other.format()),
        }
    }
}

fn rtp(payload_type: u8, number: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(number.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

fn hints(all: &[&str]) -> Options {
    let mut options = Options::default();
    for hint in all {
        options.hints.add(hint).expect("a hint");
    }
    options
}

#[test]
fn opus_with_digits_on_the_same_source_is_told_by_durations_and_events() {
    let mut capture = Capture::new();
    let mut number = 65_500;
    for n in 0..100_u32 {
        let timestamp = (u32::MAX - 48_000).wrapping_add(n * 960);
        if (40..46).contains(&n) {
            let duration = ((n - 39) * 960) as u16;
            let [high, low] = duration.to_be_bytes();
            let end = if n == 45 { 0x8a } else { 10 };
            let start = u32::MAX - 48_000 + 40 * 960;
            let packet = rtp(101, number, start, 7, &[5, end, high, low]);
            capture.send(u64::from(n) * 20, 4_000, &packet);
        } else {
            // SILK wideband of 20 ms, of any content.
            let payload = [vec![0x48], vec![n as u8; 40]].concat();
            let packet = rtp(111, number, timestamp, 7, &payload);
            capture.send(u64::from(n) * 20, 4_000, &packet);
        }
        number = number.wrapping_add(1);
    }
    let recording = capture.open();
    let [flow] = &recording.flows[..] else { panic!("{:?}", recording.flows) };
    assert_eq!((flow.confidence, flow.packets), (Confidence::High, 100), "{}", flow.reason);
    let [opus, event] = &flow.payloads[..] else { panic!("{:?}", flow.payloads) };
    assert_eq!((&opus.codec, opus.clock_rate), (&Some(Codec::Opus), Some(48_000)));
    assert_eq!(opus.confidence, Confidence::High, "{}", opus.reason);
    assert_eq!((&event.codec, event.clock_rate), (&Some(Codec::TelephoneEvent), Some(48_000)));
    assert_eq!(flow.main_payload().map(|payload| payload.payload_type), Some(111));
}

#[test]
fn h264_is_told_by_its_nal_units_even_without_fragments() {
    for fragments in [true, false] {
        let mut capture = Capture::new();
        let mut number = 0;
        for frame in 0..40_u32 {
            let units: &[&[u8]] = match (frame % 20, fragments) {
                (0, _) => &[&[0x67, 66, 0xc0, 12, 1], &[0x68, 0xce, 1], &[0x65, 0x88, 1]],
                (_, true) => &[&[0x7c, 0x81, 1, 2], &[0x7c, 1, 3, 4], &[0x7c, 0x41, 5]],
                (_, false) => &[&[0x41, 0x9a, 1, 2, 3]],
            };
            for (index, unit) in units.iter().enumerate() {
                let mut packet = rtp(96, number, frame * 3_000, 9, unit);
                packet[1] |= if index + 1 == units.len() { 0x80 } else { 0 };
                capture.send(u64::from(frame) * 100 / 3, 5_000, &packet);
                number += 1;
            }
        }
        let recording = capture.open();
        let [flow] = &recording.flows[..] else { panic!("{:?}", recording.flows) };
        let payload = flow.main_payload().expect("there is one");
        assert_eq!((&payload.codec, payload.clock_rate), (&Some(Codec::H264), Some(90_000)));
        assert_eq!(payload.confidence, Confidence::High, "{}", payload.reason);
    }
}

#[test]
fn what_cannot_be_told_says_so_and_a_hint_settles_it() {
    let capture = || {
        let mut capture = Capture::new();
        for n in 0..50_u16 {
            let packet = rtp(97, n, u32::from(n) * 160, 3, &[0xd5; 160]);
            capture.send(u64::from(n) * 20, 6_000, &packet);
        }
        capture
    };
    let recording = capture().open();
    let payload = &recording.flows[0].payloads[0];
    assert_eq!((&payload.codec, payload.clock_rate), (&None, Some(8_000)));
    assert!(payload.reason.contains("which law"), "{}", payload.reason);
    let recording = capture().open_with(&hints(&["97=pcma"]));
    let payload = &recording.flows[0].payloads[0];
    assert_eq!((&payload.codec, payload.clock_rate), (&Some(Codec::Pcma), Some(8_000)));
    assert_eq!(payload.confidence, Confidence::Stated);
    let elsewhere = capture().open_with(&hints(&["6002"]));
    assert_eq!((elsewhere.flows.len(), elsewhere.arrivals.len()), (0, 50));
    let there = capture().open_with(&hints(&["7000"]));
    assert_eq!(there.flows[0].confidence, Confidence::Stated);
}

#[test]
fn a_session_description_in_the_capture_is_believed() {
    let mut capture = Capture::new();
    let sip = "INVITE sip:bob@example.com SIP/2.0\r\n\r\nv=0\r\nm=audio 7000 RTP/AVP 97\r\n\
               a=rtpmap:97 PCMA/8000\r\n";
    capture.send(0, 5_060, sip.as_bytes());
    for n in 0..5_u16 {
        let packet = rtp(97, n, u32::from(n) * 160, 3, &[0xd5; 160]);
        capture.send(u64::from(n) * 20 + 1, 6_000, &packet);
    }
    let recording = capture.open();
    let [flow] = &recording.flows[..] else { panic!("{:?}", recording.flows) };
    assert_eq!(flow.confidence, Confidence::Stated, "{}", flow.reason);
    assert_eq!(flow.payloads[0].codec, Some(Codec::Pcma));
    assert_eq!(recording.count_of(ArrivalKind::Other), 1);
}

#[test]
fn rtcp_belongs_to_the_flow_of_its_sender_and_strangers_to_none() {
    let mut capture = Capture::new();
    for n in 0..20_u16 {
        let at = u64::from(n) * 20;
        capture.send(at, 4_000, &rtp(0, n, u32::from(n) * 160, 5, &[0xff; 160]));
        if n == 10 {
            capture.send(at, 4_000, &[0x80, 200, 0, 1, 0, 0, 0, 5]);
            capture.send(at, 4_000, &[0x80, 201, 0, 1, 0, 0, 0, 6]);
            capture.send(at, 4_000, &rtp(0, 900, 7, 0xdead, &[0xff; 160]));
            let mut old = rtp(0, n, 0, 5, &[0xff; 160]);
            old[0] = 0;
            capture.send(at, 4_000, &old);
            capture.send(at, 4_000, &[]);
        }
    }
    let recording = capture.open();
    let [flow] = &recording.flows[..] else { panic!("{:?}", recording.flows) };
    assert_eq!(flow.packets, 20);
    let rtcp: Vec<_> =
        recording.arrivals.iter().filter(|arrival| arrival.kind == ArrivalKind::Rtcp).collect();
    assert_eq!([rtcp[0].flow, rtcp[1].flow], [Some(flow.id), None]);
    assert_eq!(recording.count_of(ArrivalKind::Other), 3);
}

#[test]
fn traffic_that_is_no_rtp_gives_no_flow() {
    let mut capture = Capture::new();
    let mut state = 1_u32;
    for n in 0..2_000_u64 {
        // A made-up protocol whose first bits look like version 2.
        let mut datagram = vec![0x80];
        for _ in 0..60 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            datagram.push((state >> 24) as u8);
        }
        capture.send(n, 53, &datagram);
    }
    let recording = capture.open();
    assert_eq!(recording.flows, []);
    assert_eq!(recording.arrivals.len(), 2_000);
}

#[test]
fn times_that_run_backwards_are_sorted_and_told() {
    let mut capture = Capture::new();
    for (at, n) in [(100, 0_u16), (120, 1), (80, 2), (140, 3)] {
        capture.send(at, 4_000, &rtp(0, n, u32::from(n) * 160, 5, &[0xff; 160]));
    }
    let recording = capture.open();
    assert_eq!(recording.start, 80_000_000);
    assert_eq!(recording.duration().as_millis(), 60);
    assert!(recording.arrivals.is_sorted_by_key(|arrival| arrival.offset));
    assert_eq!(recording.warnings.len(), 1);
    assert!(open_bytes("x", Capture::new().bytes().into()).is_ok(), "an empty capture is no error");
}
