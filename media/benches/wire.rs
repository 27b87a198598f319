//! Packets on the wire, stage by stage, beside the libraries that do the same: parsing and
//! writing, reception statistics, and a whole session without its codecs. `cargo bench -p
//! callrig-media --bench wire`. str0m keeps its RTP parser to itself, so it is not here.

use core::net::SocketAddr;
use core::time::Duration;
use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, MediaDescription};
use callrig_media::event::Event;
use callrig_media::rtcp::source::Source;
use callrig_media::rtcp::{self, Nack, ReportBlock, Rules, SenderReport, SourceDescription};
use callrig_media::rtp::sequence::Limits;
use callrig_media::rtp::{self, Extensions};
use callrig_media::session::{Config, Decode, Input, Output, Session};
use callrig_media::time::{Epoch, Instant};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rtc_shared::marshal::{Marshal, Unmarshal};

/// A minute of speech in packets of 20 ms.
const PACKETS: u64 = 3_000;

fn packet(index: u64) -> rtp::Packet {
    let extensions =
        Extensions::build(&[(1, &[0x1e])], &mut BytesMut::new()).expect("one small element");
    rtp::Packet {
        header: rtp::Header {
            payload_type: 111,
            sequence_number: index as u16,
            timestamp: 960 * index as u32,
            ssrc: 7,
            extensions,
            ..rtp::Header::default()
        },
        // Opus, CELT, 20 ms, as long as at 32 kbit/s.
        payload: Bytes::from([&[0xf8][..], &[0x55; 79]].concat()),
    }
}

/// Arrivals of a minute: as sent, or with 5 % loss, 10 % reordering within 3 packets and
/// 40 ms of jitter either way.
fn arrivals(impaired: bool) -> Vec<(Instant, Bytes)> {
    let mut random = Pcg64Mcg::seed_from_u64(1);
    let mut arrivals = Vec::new();
    for index in 0..PACKETS {
        let mut at = Duration::from_millis(100 + 20 * index);
        if impaired {
            if random.random_bool(0.05) {
                continue;
            }
            at += Duration::from_micros(random.random_range(0..80_000));
            if random.random_bool(0.1) {
                at += Duration::from_millis(20 * random.random_range(1..=3));
            }
        }
        arrivals.push((Instant::ZERO + at, packet(index).to_bytes()));
    }
    arrivals.sort_by_key(|(at, _)| *at);
    arrivals
}

fn parse_and_write(c: &mut Criterion) {
    let datagram = packet(1).to_bytes();
    let mut group = c.benchmark_group("rtp");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse/callrig", |b| {
        b.iter(|| rtp::Packet::parse(black_box(&datagram).clone()));
    });
    group.bench_function("parse/rtc-rtp", |b| {
        b.iter(|| rtc_rtp::Packet::unmarshal(&mut black_box(&datagram).clone()));
    });
    let ours = rtp::Packet::parse(datagram.clone()).expect("it was just written");
    let theirs = rtc_rtp::Packet::unmarshal(&mut datagram.clone()).expect("it is well formed");
    let mut out = BytesMut::with_capacity(2_048);
    group.bench_function("write/callrig", |b| {
        b.iter(|| {
            out.clear();
            black_box(&ours).write(&mut out);
            out.len()
        });
    });
    let mut buffer = [0; 2_048];
    group.bench_function("write/rtc-rtp", |b| {
        b.iter(|| black_box(&theirs).marshal_to(&mut buffer).expect("it fits"));
    });
    group.finish();
}

fn parse_rtcp(c: &mut Criterion) {
    let mut out = BytesMut::new();
    let compound = [
        rtcp::Packet::SenderReport(SenderReport {
            ssrc: 1,
            reports: vec![ReportBlock { ssrc: 2, jitter: 9, ..ReportBlock::default() }],
            ..SenderReport::default()
        }),
        rtcp::Packet::SourceDescription(SourceDescription::canonical_name(
            1,
            Bytes::from_static(b"callrig@example"),
        )),
        rtcp::Packet::Nack(Nack::of(1, 2, [5, 6, 9, 100])),
    ];
    rtcp::write(&compound, &mut out);
    let datagram = out.freeze();
    let mut group = c.benchmark_group("rtcp");
    group.bench_function("parse/callrig", |b| {
        b.iter(|| rtcp::parse(black_box(&datagram), Rules::Compound));
    });
    group.bench_function("parse/rtc-rtcp", |b| {
        b.iter(|| rtc_rtcp::packet::unmarshal(&mut black_box(&datagram).clone()));
    });
    group.finish();
}

fn statistics(c: &mut Criterion) {
    let mut group = c.benchmark_group("source");
    for (name, impaired) in [("clean", false), ("impaired", true)] {
        let arrivals = arrivals(impaired);
        group.throughput(Throughput::Elements(arrivals.len() as u64));
        group.bench_function(format!("parse and receive/{name}"), |b| {
            b.iter(|| {
                let mut source = Source::new(7, 48_000, Limits::default());
                for (at, datagram) in &arrivals {
                    let packet = rtp::Packet::parse(datagram.clone()).expect("well formed");
                    let header = &packet.header;
                    let reception = source.receive(
                        *at,
                        header.sequence_number,
                        header.timestamp,
                        packet.payload.len(),
                    );
                    let _ = black_box(reception);
                }
                source.stats()
            });
        });
    }
    group.finish();
}

fn config() -> Config {
    let describe = |port| {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Description::new(address, vec![MediaDescription::audio("a")])
    };
    Config::new(describe(1), describe(2))
}

fn session(config: &Config) -> Session {
    Session::new(config.clone(), Epoch::default(), 1).expect("the configuration is sound")
}

/// Hands a session its arrivals and runs its timers; sounds played.
fn play(session: &mut Session, config: &Config, arrivals: &[(Instant, Bytes)]) -> u64 {
    let (source, destination) = (config.remote.address, config.local.address);
    let mut played = 0;
    for (at, payload) in arrivals {
        while let Some(due) = session.poll_timeout().filter(|due| due <= at) {
            session.handle_input(due, Input::Timeout);
            played += drain(session);
        }
        let datagram = Datagram { source, destination, payload: payload.clone() };
        session.handle_input(*at, Input::Datagram(datagram));
        played += drain(session);
    }
    played
}

fn drain(session: &mut Session) -> u64 {
    let mut played = 0;
    while let Some(output) = session.poll_output() {
        if let Output::Event(Event::Audio(audio)) = output {
            played += 1;
            session.recycle(audio);
        }
    }
    played
}

fn sessions(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    let config = Config { decode: Decode::Nothing, ..config() };
    for (name, impaired) in [("clean", false), ("impaired", true)] {
        let arrivals = arrivals(impaired);
        group.throughput(Throughput::Elements(arrivals.len() as u64));
        group.bench_function(format!("receive without decoding/{name}"), |b| {
            b.iter_batched_ref(
                || session(&config),
                |session| play(session, &config, &arrivals),
                BatchSize::SmallInput,
            );
        });
    }
    let relay = Config { relay: true, ..config.clone() };
    let onward =
        Config { local: relay.remote.clone(), remote: relay.local.clone(), ..relay.clone() };
    let arrivals = arrivals(false);
    let (source, destination) = (relay.remote.address, relay.local.address);
    group.throughput(Throughput::Elements(arrivals.len() as u64));
    group.bench_function("relay", |b| {
        b.iter_batched_ref(
            || (session(&relay), session(&onward)),
            |(left, right)| {
                for (at, payload) in &arrivals {
                    let datagram = Datagram { source, destination, payload: payload.clone() };
                    left.handle_input(*at, Input::Datagram(datagram));
                    while let Some(packet) = left.poll_packet() {
                        right.forward(*at, packet).expect("Opus was negotiated");
                    }
                    drain(left);
                    drain(right);
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, parse_and_write, parse_rtcp, statistics, sessions);
criterion_main!(benches);
