//! What Opus packets say of themselves, held against libopus.

use callrig_media::codec::opus::{BuildError, CodecError, Config, Decoder, Encoder};
use callrig_media::payload::opus::Packet;
use proptest::prelude::*;

use crate::audio::voice;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_packet_is_valid_exactly_if_libopus_says_so(
        toc in any::<u8>(),
        rest in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            prop::collection::vec(0..6_u8, 0..24),
            prop::collection::vec(any::<u8>(), 1200..2700),
        ],
    ) {
        let payload = [&[toc][..], &rest].concat();
        let ours = Packet::parse(&payload);
        let theirs = ::opus::packet::parse(&payload);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs.err());
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(ours.frames().collect::<Vec<_>>(), theirs.frames);
            let samples = ::opus::packet::get_nb_samples(&payload, 48_000);
            prop_assert_eq!(samples.ok(), Some(ours.ticks() as usize));
            let mut decoder = Decoder::new(48_000, 2).expect("valid");
            let decoded = decoder.decode(&payload, &mut [0; 2 * 5_760]);
            prop_assert_eq!(decoded.ok(), Some(ours.ticks() as usize));
        }
    }
}

#[test]
fn what_is_not_a_packet_is_not_one_to_libopus_either() {
    assert!(Packet::parse(&[]).is_err());
    let mut decoder = Decoder::new(48_000, 1).expect("valid");
    assert!(decoder.decode(&[0x0b, 0x07, 0], &mut [0; 5_760]).is_err());
}

#[test]
fn error_correction_is_seen_where_the_encoder_put_it() {
    let voice = voice(16_000, 2_000);
    let with = |fec| {
        let config = Config {
            rate: 16_000,
            bitrate: Some(24_000),
            fec,
            expected_loss: 30,
            ..Config::default()
        };
        let mut encoder = Encoder::new(&config).expect("valid");
        voice
            .chunks_exact(320)
            .filter(|chunk| {
                let mut packet = [0; 1275];
                let length = encoder.encode(chunk, &mut packet).expect("valid");
                Packet::parse(&packet[..length]).expect("ours").has_error_correction()
            })
            .count()
    };
    assert_eq!(with(false), 0);
    assert!(with(true) > 50);
}

#[test]
fn every_duration_of_opus_is_encoded_and_no_other() {
    let mut encoder = Encoder::new(&Config::default()).expect("valid");
    let mut packet = [0; 1500];
    for samples in [120, 240, 480, 960, 1_920, 2_880] {
        let length = encoder.encode(&vec![0; samples], &mut packet).expect("a valid duration");
        let ticks = Packet::parse(&packet[..length]).expect("ours").ticks();
        assert_eq!(ticks as usize, samples);
    }
    for samples in [0, 1, 119, 961, 1_440] {
        let refused = encoder.encode(&vec![0; samples], &mut packet);
        assert_eq!(refused, Err(CodecError::FrameSize { samples, rate: 48_000 }));
    }
}

#[test]
fn an_impossible_codec_is_refused_with_the_reason() {
    assert_eq!(Decoder::new(44_100, 1).err(), Some(BuildError::Rate(44_100)));
    assert_eq!(Decoder::new(48_000, 3).err(), Some(BuildError::Channels(3)));
    let config = Config { complexity: 11, ..Config::default() };
    assert!(matches!(Encoder::new(&config).err(), Some(BuildError::Library(_))));
}
