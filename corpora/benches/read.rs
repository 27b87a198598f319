//! Opening captures from memory: bytes per second, with flow discovery and without, beside
//! `pcap-parser` going over the same bytes without looking into a frame.

use std::hint::black_box;
use std::io::Cursor;
use std::net::SocketAddr;

use bytes::Bytes;
use callrig_corpora::format::link::parse_udp;
use callrig_corpora::format::{pcap, pcapng};
use callrig_corpora::{Counts, open_bytes};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// A call of four Opus streams in turn, 10 MB in all.
fn packets() -> impl Iterator<Item = (u64, SocketAddr, SocketAddr, Vec<u8>)> {
    (0..60_000_u32).map(|n| {
        let stream = n % 4;
        let mut packet = vec![0x80, 111];
        packet.extend(((n / 4) as u16).to_be_bytes());
        packet.extend((n / 4 * 960).to_be_bytes());
        packet.extend((stream + 9).to_be_bytes());
        packet.push(0x48);
        packet.extend([n as u8; 95]);
        let address = |host, port| SocketAddr::from(([192, 0, 2, host], port));
        let source = address(1, 4_000 + stream as u16);
        (u64::from(n) * 5_000_000, source, address(2, 5_000), packet)
    })
}

fn captures(criterion: &mut Criterion) {
    let mut writer = pcap::Writer::new(Vec::new(), pcap::Layout::default()).expect("memory");
    let mut newer = pcapng::Writer::new(Vec::new(), pcapng::Layout::default()).expect("memory");
    for (at, source, destination, packet) in packets() {
        writer.write_datagram(at, source, destination, &packet, 0).expect("it fits");
        newer.write_datagram(at, source, destination, &packet, 0, None).expect("it fits");
    }
    let bytes = Bytes::from(writer.finish().expect("memory"));
    let newer = Bytes::from(newer.finish().expect("memory"));
    let opened = open_bytes("bench", bytes.clone()).expect("it opens");

    let mut group = criterion.benchmark_group("capture");
    group.throughput(Throughput::Elements(60_000));
    group.bench_function("pcap, frames only", |bencher| {
        bencher.iter(|| {
            let reader = pcap::Reader::new(&bytes).expect("it opens");
            reader.map(|captured| captured.data.len()).sum::<usize>()
        });
    });
    group.bench_function("pcap, datagrams", |bencher| {
        bencher.iter(|| {
            let reader = pcap::Reader::new(&bytes).expect("it opens");
            reader
                .filter_map(|captured| {
                    let frame = &bytes[captured.data];
                    parse_udp(frame, captured.link, captured.original_length).ok()
                })
                .map(|udp| udp.payload.len())
                .sum::<usize>()
        });
    });
    group.bench_function("pcap, opened with its flows", |bencher| {
        bencher.iter(|| black_box(open_bytes("bench", bytes.clone())));
    });
    group.bench_function("pcapng, opened with its flows", |bencher| {
        bencher.iter(|| black_box(open_bytes("bench", newer.clone())));
    });
    group.bench_function("counted", |bencher| bencher.iter(|| Counts::of(&opened)));
    group.bench_function("pcap-parser, frames only", |bencher| {
        bencher.iter(|| {
            use pcap_parser::traits::PcapReaderIterator as _;
            let mut reader = pcap_parser::LegacyPcapReader::new(1 << 20, Cursor::new(&bytes[..]))
                .expect("opens");
            let mut sum = 0;
            loop {
                match reader.next() {
                    Ok((length, pcap_parser::PcapBlockOwned::Legacy(packet))) => {
                        sum += packet.data.len();
                        reader.consume(length);
                    }
                    Ok((length, _)) => reader.consume(length),
                    Err(pcap_parser::PcapError::Incomplete(_)) => {
                        reader.refill().expect("memory");
                    }
                    Err(_) => return sum,
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, captures);
criterion_main!(benches);
