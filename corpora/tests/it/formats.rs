//! What is written reads back the same, in every format, byte order and link type.

use std::io::Cursor;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use callrig_corpora::format::annexb;
use callrig_corpora::format::link::LinkType;
use callrig_corpora::format::ogg::{self, OggOpus, OpusHead, OpusTags};
use callrig_corpora::format::wav::{self, Encoding, Wav};
use callrig_corpora::format::{ByteOrder, WarningKind, pcap, pcapng, rtpdump};
use callrig_corpora::{Opened, Recording, open_bytes};
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) at: u64,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) payload: Vec<u8>,
    pub(crate) missing: u32,
}

fn order() -> impl Strategy<Value = ByteOrder> {
    prop_oneof![Just(ByteOrder::Big), Just(ByteOrder::Little)]
}

fn link() -> impl Strategy<Value = LinkType> {
    proptest::sample::select(LinkType::WRITABLE.to_vec())
}

/// Datagrams in order of time, with addresses that the link type can hold.
fn datagrams(link: LinkType) -> impl Strategy<Value = Vec<Sent>> {
    let four = (any::<[u8; 4]>(), any::<u16>())
        .prop_map(|(ip, port)| SocketAddr::from((Ipv4Addr::from(ip), port)));
    let six = (any::<[u8; 16]>(), any::<u16>())
        .prop_map(|(ip, port)| SocketAddr::from((Ipv6Addr::from(ip), port)));
    let pair = match link {
        LinkType::IPV4 => (four.clone(), four).boxed(),
        LinkType::IPV6 => (six.clone(), six).boxed(),
        _ => prop_oneof![(four.clone(), four), (six.clone(), six)].boxed(),
    };
    let payload = proptest::collection::vec(any::<u8>(), 0..200);
    let missing = prop_oneof![4 => Just(0_u32), 1 => 1..1_000_u32];
    let one = (0..5_000_000_000_u64, pair, payload, missing);
    (0..4_000_000_000_u64, proptest::collection::vec(one, 0..20)).prop_map(|(seconds, all)| {
        let mut at = seconds * 1_000_000_000;
        all.into_iter()
            .map(|(after, (source, destination), payload, missing)| {
                at += after;
                Sent { at, source, destination, payload, missing }
            })
            .collect()
    })
}

fn recording(bytes: Vec<u8>) -> Recording {
    match open_bytes("test", bytes.into()).expect("what was written opens") {
        Opened::Recording(recording) => recording,
        other => panic!("taken for {}", other.format()),
    }
}

/// Checks that a recording holds the datagrams, at times cut to `unit` nanoseconds.
fn check(recording: &Recording, sent: &[Sent], unit: u64) -> Result<(), TestCaseError> {
    prop_assert_eq!(recording.arrivals.len(), sent.len());
    for (arrival, sent) in recording.arrivals.iter().zip(sent) {
        let route = recording.route(arrival.route);
        let at = recording.start + arrival.offset.as_nanos() as u64;
        prop_assert_eq!((route.source, route.destination), (sent.source, sent.destination));
        prop_assert_eq!(at, sent.at / unit * unit);
        prop_assert_eq!(&arrival.payload[..], &sent.payload[..]);
        prop_assert_eq!(u32::from(arrival.missing), sent.missing);
    }
    let cut = sent.iter().filter(|sent| sent.missing > 0).count() as u64;
    let warned: u64 = recording.warnings.iter().map(|warning| warning.count).sum();
    prop_assert_eq!(warned, cut, "{:?}", recording.warnings);
    Ok(())
}

pub(crate) fn pcap_file(layout: pcap::Layout, sent: &[Sent]) -> Vec<u8> {
    let mut writer = pcap::Writer::new(Vec::new(), layout).expect("memory");
    for Sent { at, source, destination, payload, missing } in sent {
        writer.write_datagram(*at, *source, *destination, payload, *missing).expect("it fits");
    }
    writer.finish().expect("memory")
}

fn packets_by_pcap_parser(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = pcap_parser::create_reader(1 << 20, Cursor::new(bytes)).expect("it opens");
    let mut packets = Vec::new();
    loop {
        match reader.next() {
            Ok((length, block)) => {
                use pcap_parser::{Block, PcapBlockOwned};
                match &block {
                    PcapBlockOwned::Legacy(packet) => packets.push(packet.data.to_vec()),
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        packets.push(packet.data[..packet.caplen as usize].to_vec());
                    }
                    _ => {}
                }
                reader.consume(length);
            }
            Err(pcap_parser::PcapError::Eof) => return packets,
            Err(pcap_parser::PcapError::Incomplete(_)) => reader.refill().expect("memory"),
            Err(error) => panic!("pcap-parser refuses what was written: {error:?}"),
        }
    }
}

fn written() -> impl Strategy<Value = (LinkType, Vec<Sent>)> {
    link().prop_flat_map(|link| (Just(link), datagrams(link)))
}

proptest! {
    #[test]
    fn a_pcap_file_reads_back(
        nanoseconds in any::<bool>(),
        order in order(),
        (link, sent) in written(),
    ) {
        let resolution = if nanoseconds {
            pcap::Resolution::Nanoseconds
        } else {
            pcap::Resolution::Microseconds
        };
        let bytes = pcap_file(pcap::Layout { resolution, order, link }, &sent);
        let reader = pcap::Reader::new(&bytes).expect("it opens");
        prop_assert_eq!((reader.resolution(), reader.byte_order(), reader.link()), (resolution, order, link));
        let frames: Vec<Vec<u8>> = reader.map(|captured| bytes[captured.data].to_vec()).collect();
        prop_assert_eq!(frames, packets_by_pcap_parser(&bytes));
        check(&recording(bytes), &sent, if nanoseconds { 1 } else { 1_000 })?;
    }

    #[test]
    fn a_pcapng_file_of_two_sections_reads_back(
        decimals in 0..=9_u8,
        orders in (order(), order()),
        (link, sent) in written(),
        comment in proptest::option::of(".{0,40}"),
    ) {
        let layout = pcapng::Layout { decimals, order: orders.0, link };
        let mut writer = pcapng::Writer::new(Vec::new(), layout).expect("memory");
        for (index, one) in sent.iter().enumerate() {
            let Sent { at, source, destination, payload, missing } = one;
            if index == sent.len() / 2 {
                writer.start_section(pcapng::Layout { order: orders.1, ..layout }).expect("memory");
            }
            writer
                .write_datagram(*at, *source, *destination, payload, *missing, comment.as_deref())
                .expect("it fits");
        }
        let bytes = writer.finish().expect("memory");
        check(&recording(bytes), &sent, 10_u64.pow(9 - u32::from(decimals)))?;
    }

    #[test]
    fn pcap_parser_reads_our_pcapng_alike(order in order(), (link, sent) in written()) {
        let layout = pcapng::Layout { decimals: 9, order, link };
        let mut writer = pcapng::Writer::new(Vec::new(), layout).expect("memory");
        for Sent { at, source, destination, payload, missing } in &sent {
            writer
                .write_datagram(*at, *source, *destination, payload, *missing, None)
                .expect("it fits");
        }
        let bytes = writer.finish().expect("memory");
        let reader = pcapng::Reader::new(&bytes).expect("it opens");
        let frames: Vec<Vec<u8>> = reader.map(|captured| bytes[captured.data].to_vec()).collect();
        prop_assert_eq!(frames, packets_by_pcap_parser(&bytes));
    }

    #[test]
    fn an_rtpdump_file_reads_back(
        address in any::<[u8; 4]>(),
        port in 0..65_535_u16,
        start in 0..4_000_000_000_000_000_u64,
        records in proptest::collection::vec(
            (any::<u32>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 1..100), 0..50_u32),
            0..20,
        ),
    ) {
        let address = SocketAddr::from((Ipv4Addr::from(address), port));
        let mut writer = rtpdump::Writer::new(Vec::new(), address, start * 1_000).expect("memory");
        for (offset, rtcp, packet, missing) in &records {
            writer.write_packet(*offset, *rtcp, packet, *missing).expect("it fits");
        }
        let bytes = writer.finish().expect("memory");
        let mut reader = rtpdump::Reader::new(&bytes).expect("it opens");
        prop_assert_eq!((reader.address(), reader.start()), (address, start * 1_000));
        for (offset, rtcp, packet, missing) in &records {
            let record = reader.next().expect("as many as were written");
            prop_assert_eq!(&bytes[record.data.clone()], &packet[..]);
            let missing = if *rtcp { 0 } else { *missing };
            prop_assert_eq!((record.offset_ms, record.rtcp, record.missing), (*offset, *rtcp, missing));
        }
        prop_assert!(reader.next().is_none());
    }

    #[test]
    fn an_annex_b_stream_reads_back(
        units in proptest::collection::vec(
            // No zeros, so no start code comes about and none is needed to be prevented.
            (0..128_u8, proptest::collection::vec(1..=255_u8, 0..50)),
            1..20,
        ),
    ) {
        let units: Vec<Vec<u8>> =
            units.into_iter().map(|(header, rest)| [vec![header.max(1)], rest].concat()).collect();
        let bytes = Bytes::from(annexb::write(units.iter().map(Vec::as_slice)));
        let opened = open_bytes("test", bytes).expect("it opens");
        let Opened::AnnexB(stream) = opened else { panic!("taken for {}", opened.format()) };
        let read: Vec<Vec<u8>> = stream.units().map(|unit| unit.to_vec()).collect();
        prop_assert_eq!(read, units);
        let held: usize = stream.access_units().iter().map(|unit| unit.units.len()).sum();
        prop_assert_eq!(held, stream.units().len());
        prop_assert!(stream.warnings.is_empty());
    }

    #[test]
    fn a_wave_file_reads_back_and_hound_agrees(
        encoding in prop_oneof![Just(Encoding::Pcm16), Just(Encoding::Alaw), Just(Encoding::Ulaw)],
        sample_rate in 1..200_000_u32,
        channels in 1..5_u16,
        data in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let frame = encoding.bytes() * usize::from(channels);
        let data = Bytes::from(data[..data.len() / frame * frame].to_vec());
        let wav = Wav { sample_rate, channels, encoding, data, warnings: Vec::new() };
        let mut file = Cursor::new(Vec::new());
        wav.write(&mut file).expect("memory");
        let bytes = file.into_inner();
        let opened = open_bytes("test", bytes.clone().into()).expect("it opens");
        prop_assert_eq!(opened, Opened::Wav(wav.clone()));
        if let Some(samples) = wav.pcm() {
            let mut judge = hound::WavReader::new(Cursor::new(bytes)).expect("hound reads it");
            let judged: Vec<i16> =
                judge.samples().collect::<Result<_, _>>().expect("hound reads it");
            prop_assert_eq!(samples.collect::<Vec<_>>(), judged);
        }
    }

    #[test]
    fn an_ogg_opus_file_reads_back(
        head in (1..=2_u8, any::<u16>(), any::<u32>(), any::<i16>()),
        vendor in ".{0,20}",
        comments in proptest::collection::vec("[A-Z]{1,5}=.{0,20}", 0..4),
        packets in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 1..1_500),
            1..200,
        ),
        serial in any::<u32>(),
    ) {
        let (channels, pre_skip, input_sample_rate, output_gain) = head;
        let head = OpusHead { channels, pre_skip, input_sample_rate, output_gain };
        let tags = OpusTags { vendor, comments };
        let mut writer = ogg::Writer::new(Vec::new(), serial, &head, &tags).expect("memory");
        for packet in &packets {
            writer.write_packet(packet.clone()).expect("memory");
        }
        let bytes = writer.finish(None).expect("memory");
        let opened = open_bytes("test", bytes.into()).expect("it opens");
        let Opened::OggOpus(stream) = opened else { panic!("taken for {}", opened.format()) };
        let sum: u64 = stream.packets.iter().map(|packet| u64::from(packet.samples)).sum();
        prop_assert_eq!(stream.samples(), sum.saturating_sub(u64::from(pre_skip)));
        let read: Vec<Vec<u8>> = stream.packets.iter().map(|packet| packet.data.to_vec()).collect();
        prop_assert_eq!((stream.head, stream.tags, stream.warnings), (head, tags, vec![]));
        prop_assert_eq!(read, packets);
    }
}

#[test]
fn the_end_of_an_ogg_stream_can_be_trimmed() {
    let head = OpusHead { channels: 1, pre_skip: 312, input_sample_rate: 16_000, output_gain: 0 };
    let mut writer = ogg::Writer::new(Vec::new(), 7, &head, &OpusTags::default()).expect("memory");
    for _ in 0..100 {
        writer.write_packet(vec![0xf8, 1, 2]).expect("memory");
    }
    let bytes = writer.finish(Some(312 + 95_500)).expect("memory");
    let stream = OggOpus::read(&bytes).expect("it opens");
    assert_eq!(stream.samples(), 95_500);
    let positions = stream.packets.iter().filter_map(|packet| packet.granule_position);
    assert_eq!(positions.collect::<Vec<_>>(), [48_000, 95_812], "a page per second");
}

#[test]
fn old_and_simple_packet_blocks_and_odd_clocks_are_read() {
    let block = |kind: u32, body: &[u8]| {
        let length = body.len() as u32 + 12;
        [&kind.to_be_bytes()[..], &length.to_be_bytes(), body, &length.to_be_bytes()].concat()
    };
    let frame = {
        let one = Sent {
            at: 0,
            source: "10.0.0.1:5".parse().expect("an address"),
            destination: "10.0.0.2:6".parse().expect("an address"),
            payload: b"hello!".to_vec(),
            missing: 0,
        };
        let layout = pcap::Layout { link: LinkType::RAW, ..pcap::Layout::default() };
        pcap_file(layout, &[one])[40..].to_vec()
    };
    assert_eq!(frame.len(), 34);
    let padded = [&frame[..], &[0; 2]].concat();
    let word = |number: u32| number.to_be_bytes();
    let section = [&word(0x1a2b_3c4d)[..], &[0, 1, 0, 0], &[0xff; 8]].concat();
    // Times in units of 1/1024 s, counted from 100 s after 1970.
    let interface = [
        &[0, 101, 0, 0][..],
        &word(0),
        &[0, 9, 0, 1, 0x8a, 0, 0, 0],
        &[0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 100],
        &[0, 0, 0, 0],
    ]
    .concat();
    let old = [&[0, 0, 0, 0][..], &word(0), &word(512), &word(34), &word(34), &padded].concat();
    let simple = [&word(34)[..], &padded].concat();
    let bytes = [
        block(0x0a0d_0d0a, &section),
        block(1, &interface),
        block(0x0bad, &[1, 2, 3, 4]),
        block(2, &old),
        block(3, &simple),
    ]
    .concat();
    let recording = recording(bytes);
    assert_eq!(recording.start, 100_500_000_000);
    assert_eq!(recording.arrivals.len(), 2);
    assert!(recording.arrivals.iter().all(|arrival| &arrival.payload[..] == b"hello!"));
    let kinds: Vec<_> = recording.warnings.iter().map(|warning| warning.kind).collect();
    assert_eq!(kinds, [WarningKind::NoTime]);
}

#[test]
fn files_of_neighbouring_formats_are_refused_with_advice() {
    for (bytes, advice) in [
        (&b"\x1f\x8b\x08\0\0\0"[..], "gunzip"),
        (b"\0\0\0\x18ftypmp42", "h264_mp4toannexb"),
        (b"RIFF\0\0\0\0AVI LIST", "no WAVE"),
        (b"fLaC\0\0\0\x22", "pcm_s16le"),
        (b"\xa1\xb2\xcd\x34\0\x02\0\x04", "editcap"),
        (b"hello", "begins with 68 65 6c 6c 6f"),
    ] {
        let message = open_bytes("x", Bytes::from_static(bytes)).expect_err("refused").to_string();
        assert!(message.starts_with("x ") && message.contains(advice), "{message}");
    }
    let float = {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 32,
            sample_format: hound::SampleFormat::Float,
        };
        let mut file = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut file, spec).expect("memory");
        writer.write_sample(0.5_f32).expect("memory");
        writer.finalize().expect("memory");
        file.into_inner()
    };
    let message = open_bytes("f.wav", float.into()).expect_err("refused").to_string();
    assert!(message.contains("at byte 20") && message.contains("pcm_s16le"), "{message}");
}

#[test]
fn a_streamed_wave_file_without_a_length_is_read_to_its_end() {
    let mut file = Cursor::new(Vec::new());
    wav::write_pcm(&mut file, 8_000, 1, [1, 2, 3]).expect("memory");
    let mut bytes = file.into_inner();
    let length_at = bytes.len() - 10;
    bytes[length_at..length_at + 4].copy_from_slice(&[0xff; 4]);
    let wav = Wav::read(&bytes.into()).expect("it opens");
    assert_eq!((wav.frames(), wav.warnings.len()), (3, 0));
}
