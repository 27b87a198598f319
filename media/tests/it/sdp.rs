//! Descriptions as text: what is written is read back, and hostile text is refused with a
//! reason.

use core::net::SocketAddr;

use callrig_media::description::{
    Codec, Description, Direction, Extension, ExtensionId, Feedback, LAYERS_MAX, MediaDescription,
    MediaKind, Payload, Simulcast,
};
use callrig_media::transport::sdp::{ParseError, TEXT_MAX, parse, write};
use proptest::collection::{hash_set, vec};
use proptest::option;
use proptest::prelude::*;

fn codecs(kind: MediaKind) -> BoxedStrategy<Codec> {
    if kind == MediaKind::Audio {
        prop_oneof![
            any::<bool>().prop_map(|stereo| Codec::Opus { stereo }),
            Just(Codec::Pcmu),
            Just(Codec::Pcma),
            prop_oneof![Just(8_000), Just(48_000)]
                .prop_map(|clock_rate| Codec::TelephoneEvent { clock_rate }),
        ]
        .boxed()
    } else {
        (0..=1u8).prop_map(|packetization_mode| Codec::H264 { packetization_mode }).boxed()
    }
}

prop_compose! {
    fn payloads(kind: MediaKind)(
        codec in codecs(kind),
        fec in any::<bool>(),
        dtx in any::<bool>(),
        bitrate_max in option::of(6_000..510_000u32),
        profile in any::<[u8; 3]>(),
        flags in any::<[bool; 5]>(),
        sets in option::of(Just("Z0LAH4yNQA==,aM48gA==")),
    ) -> Payload {
        let opus = matches!(codec, Codec::Opus { .. });
        let [nack, pli, fir, transport_cc, remb] = flags;
        Payload {
            in_band_fec: opus && fec,
            discontinuous: opus && dtx,
            bitrate_max: bitrate_max.filter(|_| opus),
            profile_level_id: codec.is_video().then_some(profile),
            parameter_sets: sets.filter(|_| codec.is_video()).unwrap_or_default().into(),
            feedback: Feedback { nack, pli, fir, transport_cc, remb },
            ..Payload::new(0, codec)
        }
    }
}

fn directions() -> impl Strategy<Value = Direction> {
    (any::<bool>(), any::<bool>()).prop_map(|(sends, takes)| Direction::from_ways(sends, takes))
}

fn media() -> impl Strategy<Value = MediaDescription> {
    prop_oneof![Just(MediaKind::Audio), Just(MediaKind::Video), Just(MediaKind::ScreenSharing)]
        .prop_flat_map(|kind| {
            let payloads = vec(payloads(kind), 1..8).prop_map(|mut payloads| {
                for (index, payload) in payloads.iter_mut().enumerate() {
                    payload.payload_type = 96 + index as u8;
                }
                payloads
            });
            let extensions = vec(1..15u8, 0..4).prop_map(|ids| {
                let mut extensions: Vec<ExtensionId> = Vec::new();
                for (id, extension) in ids.into_iter().zip(Extension::ALL) {
                    if extensions.iter().all(|known| known.id != id) {
                        extensions.push(ExtensionId { id, extension });
                    }
                }
                extensions
            });
            let rest = (directions(), payloads, option::of(any::<u32>()), extensions);
            let layers = hash_set("[a-zA-Z0-9_-]{1,16}", 1..=LAYERS_MAX);
            let simulcast = (any::<bool>(), layers).prop_map(|(sends, layers)| Simulcast {
                sends,
                layers: layers.into_iter().collect(),
            });
            let rest = (rest, option::of(simulcast));
            ("[a-zA-Z0-9]{1,12}", rest, any::<bool>()).prop_map(move |(mid, rest, rejected)| {
                let ((direction, payloads, ssrc, extensions), simulcast) = rest;
                MediaDescription {
                    mid,
                    kind,
                    direction,
                    payloads,
                    ssrc,
                    retransmission_ssrc: None,
                    extensions,
                    simulcast,
                    rejected,
                }
            })
        })
}

fn descriptions() -> impl Strategy<Value = Description> {
    let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let v6 = any::<([u16; 8], u16)>().prop_map(SocketAddr::from);
    (prop_oneof![v4, v6], vec(media(), 1..=12)).prop_map(|(mut address, mut media)| {
        address.set_port(address.port().max(1));
        media[0].rejected = false;
        Description::new(address, media)
    })
}

fn plain(lines: &[&str]) -> String {
    let head = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"];
    head.iter().chain(lines).map(|line| format!("{line}\r\n")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_description_that_is_written_is_read_back(description in descriptions(), id in any::<u32>()) {
        let text = write(&description, id.into());
        prop_assert_eq!(parse(&text), Ok(description), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = parse(&text);
        let begun = format!("v=0\r\n{text}");
        prop_assert!(parse(&begun).is_err());
    }

    #[test]
    fn a_text_with_any_line_changed_is_read_or_refused(
        description in descriptions(), at in any::<prop::sample::Index>(), line in "[a-z]=\\PC{0,40}",
    ) {
        let text = write(&description, 1);
        let mut lines: Vec<&str> = text.lines().collect();
        let at = at.index(lines.len());
        lines[at] = &line;
        let changed = lines.join("\r\n") + "\r\n";
        if let Ok(description) = parse(&changed) {
            prop_assert_eq!(parse(&write(&description, 1)), Ok(description));
        }
    }
}

#[test]
fn an_offer_of_a_softphone_is_understood() {
    let text = plain(&[
        "m=audio 4000 RTP/AVP 0 8 96 101 13",
        "a=rtcp-mux",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1; stereo=1",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:13 CN/8000",
        "a=sendonly",
        "m=video 0 UDP/TLS/RTP/SAVPF 97",
    ]);
    let description = parse(&text).expect("it is well formed");
    assert_eq!(description.address, SocketAddr::from(([127, 0, 0, 1], 4_000)));
    let [audio, video] = &description.media[..] else { panic!("{description:?}") };
    let codecs: Vec<Codec> = audio.payloads.iter().map(|payload| payload.codec).collect();
    let events = Codec::TelephoneEvent { clock_rate: 8_000 };
    assert_eq!(codecs, [Codec::Pcmu, Codec::Pcma, Codec::Opus { stereo: true }, events]);
    assert!(audio.payloads[2].in_band_fec);
    assert_eq!((audio.direction, audio.mid.as_str()), (Direction::SendOnly, "0"));
    assert!(video.rejected);
}

#[test]
fn what_is_not_plain_rtp_on_one_port_is_named() {
    let error = |lines: &[&str]| parse(&plain(lines)).expect_err("it is not plain RTP");
    let audio = ["m=audio 4000 RTP/AVP 0", "a=rtcp-mux"];
    assert_eq!(error(&[audio[0]]), ParseError::NoRtcpMux { index: 0 });
    assert_eq!(
        error(&["m=audio 4000 RTP/SAVP 0", "a=rtcp-mux"]),
        ParseError::Protocol { index: 0, protocol: "RTP/SAVP".to_owned() }
    );
    assert!(matches!(
        error(&[audio[0], audio[1], "m=video 4002 RTP/AVP 97", "a=rtcp-mux"]),
        ParseError::Scattered { index: 1, .. }
    ));
    assert!(matches!(
        error(&[audio[0], "c=IN IP4 host.example", audio[1]]),
        ParseError::Connection { index: 0, .. }
    ));
    assert!(matches!(
        error(&["m=audio 4000 RTP/AVP 0 0", "a=rtcp-mux"]),
        ParseError::FormatTwice { index: 0, payload_type: 0 }
    ));
    assert!(matches!(
        error(&["m=audio 4000 RTP/AVP 300", "a=rtcp-mux"]),
        ParseError::Format { index: 0, .. }
    ));
    assert!(matches!(
        error(&["m=audio 70000 RTP/AVP 0", "a=rtcp-mux"]),
        ParseError::Port { index: 0, .. } | ParseError::Syntax(_)
    ));
    assert_eq!(error(&["m=audio 0 RTP/AVP 0"]), ParseError::AllRejected);
    assert_eq!(error(&[]), ParseError::MediaCount { count: 0 });
}

#[test]
fn a_line_without_a_known_format_stays_without_one() {
    let text = plain(&["m=audio 4000 RTP/AVP 113", "a=mid:0", "a=rtcp-mux"]);
    let description = parse(&text).expect("it is plain RTP");
    assert_eq!(description.media[0].payloads, []);
    assert_eq!(parse(&write(&description, 1)), Ok(description));
}

#[test]
fn a_text_beyond_all_measure_is_not_read() {
    let text = "v".repeat(TEXT_MAX + 1);
    assert_eq!(parse(&text), Err(ParseError::TooLong { length: TEXT_MAX + 1 }));
}

#[test]
fn a_name_cannot_break_out_of_its_line() {
    let mut description = Description::audio(SocketAddr::from(([127, 0, 0, 1], 1)));
    description.media[0].mid = "x\r\nm=audio 1 RTP/AVP 0".to_owned();
    let parsed = parse(&write(&description, 1)).expect("still one line");
    assert_eq!(parsed.media.len(), 1);
}

#[test]
fn parameter_sets_are_passed_on_by_who_relays_them() {
    let stated = "Z0LAH4yNQA==,aM48gA==";
    let offer = |sets: &str| {
        let mut line = MediaDescription::video("v");
        line.payloads[0].parameter_sets = sets.into();
        line
    };
    // Whoever answers for somebody else says what that one sends, not what it was offered.
    let answer = offer(stated).answer(&offer("aM48gA=="));
    assert_eq!(answer.payloads[0].parameter_sets.to_string(), stated);
    assert!(offer("").answer(&offer(stated)).payloads[0].parameter_sets.is_empty());
}
