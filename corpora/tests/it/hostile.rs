//! Bytes that nobody meant: no panic, no memory beyond their own size, and whatever came before
//! the damage is kept.

use std::io::Cursor;
use std::net::SocketAddr;

use bytes::Bytes;
use callrig_corpora::format::ogg::{self, OpusHead, OpusTags};
use callrig_corpora::format::{ByteOrder, WarningKind, annexb, pcap, pcapng, rtpdump, wav};
use callrig_corpora::{Counts, Opened, Options, open_bytes, open_bytes_with};
use proptest::prelude::*;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn rtp(number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let mut packet = vec![0x80, 0, high, low, 0, 0];
    packet.extend((number * 160).to_be_bytes());
    packet.extend([1, 2, 3, 4, 0xff, 0xfe, 0xfd]);
    packet
}

const PACKETS: u16 = 8;

fn pcap_file(order: ByteOrder) -> Vec<u8> {
    let layout = pcap::Layout { order, ..pcap::Layout::default() };
    let mut writer = pcap::Writer::new(Vec::new(), layout).expect("memory");
    for number in 0..PACKETS {
        let at = u64::from(number) * 20_000_000;
        writer.write_datagram(at, address(5), address(6), &rtp(number), 0).expect("it fits");
    }
    writer.finish().expect("memory")
}

fn pcapng_file(order: ByteOrder) -> Vec<u8> {
    let layout = pcapng::Layout { order, ..pcapng::Layout::default() };
    let mut writer = pcapng::Writer::new(Vec::new(), layout).expect("memory");
    for number in 0..PACKETS {
        let at = u64::from(number) * 20_000_000;
        writer
            .write_datagram(at, address(5), address(6), &rtp(number), 0, Some("x"))
            .expect("fits");
    }
    writer.finish().expect("memory")
}

fn rtpdump_file() -> Vec<u8> {
    let mut writer = rtpdump::Writer::new(Vec::new(), address(9), 0).expect("memory");
    for number in 0..PACKETS {
        writer.write_packet(u32::from(number) * 20, false, &rtp(number), 0).expect("it fits");
    }
    writer.finish().expect("memory")
}

fn wav_file() -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    wav::write_pcm(&mut file, 8_000, 1, 0..50).expect("memory");
    file.into_inner()
}

fn ogg_file() -> Vec<u8> {
    let head = OpusHead { channels: 1, pre_skip: 312, input_sample_rate: 16_000, output_gain: 0 };
    let tags = OpusTags { vendor: "v".to_owned(), comments: vec!["A=b".to_owned()] };
    let mut writer = ogg::Writer::new(Vec::new(), 7, &head, &tags).expect("memory");
    for number in 0..60 {
        writer.write_packet(vec![0xf8, number]).expect("memory");
    }
    writer.finish(None).expect("memory")
}

fn annexb_file() -> Vec<u8> {
    // A sequence and a picture parameter set of OpenH264, and slices without their data.
    let units: [&[u8]; 5] = [
        &[0x67, 0x42, 0xc0, 0x0c, 0x8c, 0x8d, 0x2c, 0x28, 0x34, 0x90, 0x0f, 0x08, 0x84, 0x6a],
        &[0x68, 0xce, 0x3c, 0x80],
        &[0x65, 0xb8, 0, 4, 0, 0, 9],
        &[0x61, 0xe0, 1, 2, 3, 4, 5],
        &[0x61, 0xe2, 1, 2, 3, 4, 5],
    ];
    annexb::write(units)
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("pcap, little", pcap_file(ByteOrder::Little)),
        ("pcap, big", pcap_file(ByteOrder::Big)),
        ("pcapng, little", pcapng_file(ByteOrder::Little)),
        ("pcapng, big", pcapng_file(ByteOrder::Big)),
        ("rtpdump", rtpdump_file()),
        ("wav", wav_file()),
        ("ogg", ogg_file()),
        ("annexb", annexb_file()),
    ]
}

/// Everything that can be done with bytes; gives how many things were found in them.
fn use_all(bytes: &[u8]) -> usize {
    let Ok(opened) = open_bytes("test", Bytes::copy_from_slice(bytes)) else { return 0 };
    let counts = Counts::of(&opened);
    for warning in opened.warnings() {
        assert!(warning.offset <= bytes.len() as u64, "{warning}");
    }
    match &opened {
        Opened::Recording(recording) => {
            let held: usize = recording.arrivals.iter().map(|arrival| arrival.payload.len()).sum();
            assert!(held <= bytes.len(), "payloads are slices that do not overlap");
            let of_flows: u64 = recording.flows.iter().map(|flow| flow.packets).sum();
            assert_eq!(counts.packets, Some(of_flows));
            assert_eq!(
                recording.arrivals.len() as u64,
                of_flows + counts.rtcp.unwrap_or(0) + counts.other.unwrap_or(0),
                "every arrival is of one kind"
            );
            assert!(recording.arrivals.is_sorted_by_key(|arrival| arrival.offset));
            recording.arrivals.len()
        }
        Opened::AnnexB(stream) => {
            let units = stream.units().len();
            let access_units = stream.access_units();
            assert_eq!(access_units.iter().map(|unit| unit.units.len()).sum::<usize>(), units);
            assert!(units * 4 <= bytes.len());
            units
        }
        Opened::Wav(wav) => wav.frames() as usize,
        Opened::OggOpus(stream) => {
            let held: usize = stream.packets.iter().map(|packet| packet.data.len()).sum();
            assert!(held <= bytes.len());
            stream.packets.len()
        }
    }
}

#[test]
fn a_file_cut_anywhere_keeps_what_came_before_the_cut() {
    for (name, whole) in files() {
        let all = use_all(&whole);
        assert!(all > 0, "{name}");
        let mut before = 0;
        for length in 0..=whole.len() {
            let held = use_all(&whole[..length]);
            assert!(held >= before, "{name}: {held} after {before} at {length}");
            before = held;
        }
        assert_eq!(before, all, "{name}");
    }
}

#[test]
fn a_cut_tail_is_told_with_the_offset_of_its_record() {
    let whole = pcap_file(ByteOrder::Little);
    let record = (whole.len() - 24) / usize::from(PACKETS);
    let opened = open_bytes("x", whole[..whole.len() - 3].to_vec().into()).expect("it opens");
    let [warning] = opened.warnings() else { panic!("{:?}", opened.warnings()) };
    assert_eq!(warning.kind, WarningKind::TruncatedTail);
    assert_eq!(warning.offset as usize, whole.len() - record);
    let whole = ogg_file();
    let opened = open_bytes("x", whole[..whole.len() - 1].to_vec().into()).expect("it opens");
    assert_eq!(opened.warnings()[0].kind, WarningKind::TruncatedTail);
    let message = open_bytes("x", whole[..40].to_vec().into()).expect_err("no sound").to_string();
    assert!(message.contains("at byte 0") && message.contains("middle of a page"), "{message}");
}

#[test]
fn a_damaged_page_ends_an_ogg_stream_with_a_warning() {
    let mut bytes = ogg_file();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let opened = open_bytes("x", bytes.into()).expect("the first page is whole");
    assert_eq!(opened.warnings()[0].kind, WarningKind::Damaged);
}

#[test]
fn a_lying_length_is_a_warning_and_not_an_allocation() {
    let mut bytes = pcap_file(ByteOrder::Little);
    let second = 24 + (bytes.len() - 24) / usize::from(PACKETS);
    bytes[second + 8..second + 12].copy_from_slice(&[0xff; 4]);
    let opened = open_bytes("x", bytes.into()).expect("the first packet is whole");
    let Opened::Recording(recording) = opened else { panic!("a capture") };
    assert_eq!(recording.arrivals.len(), 1);
    let [warning] = &recording.warnings[..] else { panic!("{:?}", recording.warnings) };
    assert_eq!((warning.kind, warning.offset as usize), (WarningKind::LyingRecord, second));
}

#[test]
fn a_file_above_the_limit_is_refused() {
    let options = Options { file_bytes_max: 100, ..Options::default() };
    let bytes = pcap_file(ByteOrder::Little);
    let message = open_bytes_with("x", bytes.into(), &options).expect_err("too large").to_string();
    assert!(message.contains("limit of 100"), "{message}");
    assert!(open_bytes("x", Bytes::new()).expect_err("empty").to_string().contains("empty"));
}

#[test]
fn more_sources_than_can_be_followed_are_told() {
    let mut writer = pcap::Writer::new(Vec::new(), pcap::Layout::default()).expect("memory");
    for ssrc in 0..70_000_u32 {
        let mut packet = rtp(0);
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        writer.write_datagram(0, address(5), address(6), &packet, 0).expect("it fits");
    }
    let bytes = writer.finish().expect("memory");
    let opened = open_bytes("x", bytes.into()).expect("it opens");
    let Opened::Recording(recording) = opened else { panic!("a capture") };
    assert_eq!(recording.arrivals.len(), 70_000);
    assert_eq!(recording.flows, []);
    let [warning] = &recording.warnings[..] else { panic!("{:?}", recording.warnings) };
    assert_eq!(warning.kind, WarningKind::TooManySources);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_behind_any_magic_never_panic(
        which in 0..12_usize,
        rest in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(0), Just(1), Just(0xff)], 0..400,
        ),
    ) {
        let magic: &[u8] = [
            &b"\xa1\xb2\xc3\xd4\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"[..],
            b"\x4d\x3c\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\x71\0\0\0",
            b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\x65\0\0\0",
            b"\x0a\x0d\x0d\x0a",
            b"\x0a\x0d\x0d\x0a\0\0\0\x1c\x1a\x2b\x3c\x4d\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x1c",
            b"\x0a\x0d\x0d\x0a\0\0\0\x1c\x1a\x2b\x3c\x4d\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x1c\
              \0\0\0\x01\0\0\0\x14\0\x01\0\0\0\0\0\0\0\0\0\x14\0\0\0\x06",
            b"#!rtpplay1.0 1.2.3.4/5\n",
            b"RIFF\0\0\0\0WAVEfmt ",
            b"OggS\0\x02",
            b"\0\0\0\x01\x67",
            b"\0\0\x01\x67\x42\xc0\x0c\x8c\x8d\x2c\x28\x34\x90\x0f\x08\x84\x6a\0\0\x01\x65",
            b"",
        ][which];
        use_all(&[magic, &rest].concat());
    }

    #[test]
    fn damaged_files_never_panic(
        which in 0..8_usize,
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (_, mut bytes) = files().swap_remove(which);
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        use_all(&bytes);
    }

    #[test]
    fn ogg_pages_with_right_checksums_and_wrong_content_never_panic(
        pages in proptest::collection::vec(
            (
                any::<u8>(),
                any::<u64>(),
                0..2_u32,
                any::<u32>(),
                proptest::collection::vec(prop_oneof![any::<u8>(), Just(255)], 0..4),
            ),
            1..6,
        ),
        headers in any::<bool>(),
    ) {
        let mut bytes = if headers { ogg_file()[..105].to_vec() } else { Vec::new() };
        for (flags, granule, serial, number, lacing) in pages {
            let body: usize = lacing.iter().map(|length| usize::from(*length)).sum();
            let mut page = b"OggS\0".to_vec();
            page.push(flags);
            page.extend(granule.to_le_bytes());
            page.extend((serial + 7).to_le_bytes());
            page.extend(number.to_le_bytes());
            page.extend([0; 4]);
            page.push(lacing.len() as u8);
            page.extend(&lacing);
            page.extend(vec![0x5a; body]);
            let sum = ogg_checksum(&page);
            page[22..26].copy_from_slice(&sum.to_le_bytes());
            bytes.extend(page);
        }
        use_all(&bytes);
    }
}

/// CRC-32 with the polynomial 04c11db7, neither reflected nor inverted (RFC 3533 section 6).
fn ogg_checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum: u32, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 24), |sum, _| {
            let carry = sum >> 31;
            (sum << 1) ^ (carry * 0x04c1_1db7)
        })
    })
}
