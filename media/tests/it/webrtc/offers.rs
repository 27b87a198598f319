//! Offers as other stacks really make them, recorded.

use callrig_media::description::secure::{CandidateKind, Carrier};
use callrig_media::description::{Codec, Description, MediaKind, Setup};
use callrig_media::session::{self, Session};
use callrig_media::time::Epoch;
use callrig_media::transport::sdp::{self, ParseError};
use callrig_media::transport::webrtc::Certificate;

use super::{SERVER, able};

const CHROMIUM: &str = include_str!("offers/chromium-156.sdp");

fn answered(text: &str) -> (Description, Description) {
    let offer = sdp::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let certificate = Certificate::generate().expect("cryptography works");
    let answer = able(&certificate, 5).answer(&offer);
    let read = sdp::parse(&sdp::write(&answer, 1)).expect("our own text");
    assert_eq!(read, answer);
    let sides = session::Config {
        certificate: Some(certificate),
        ..session::Config::new(answer.clone(), offer.clone())
    };
    Session::new(sides, Epoch::default(), 1).expect("the two sides fit");
    (offer, answer)
}

#[test]
fn chromium_offers_sound_pictures_and_data() {
    let (offer, answer) = answered(CHROMIUM);
    let secure = offer.secure.as_deref().expect("it is WebRTC");
    assert_eq!((secure.ufrag.as_str(), secure.setup), ("jETp", Setup::ActPass));
    let carriers: Vec<Carrier> = secure.candidates.iter().map(|c| c.carrier).collect();
    let (udp, tcp) = (Carrier::Udp, Carrier::TcpActive);
    assert_eq!(carriers, [udp, udp, tcp, tcp]);
    assert!(secure.candidates.iter().all(|c| c.kind == CandidateKind::Host));
    let kinds: Vec<MediaKind> = offer.media.iter().map(|line| line.kind).collect();
    assert_eq!(kinds, [MediaKind::Audio, MediaKind::Video, MediaKind::Data]);
    let [audio, video, data] = &answer.media[..] else { panic!("{answer:?}") };
    let known: Vec<(u8, Codec)> =
        audio.payloads.iter().map(|payload| (payload.payload_type, payload.codec)).collect();
    let events = |clock_rate| Codec::TelephoneEvent { clock_rate };
    let opus = Codec::Opus { stereo: false };
    let wanted = [
        (111, opus),
        (0, Codec::Pcmu),
        (8, Codec::Pcma),
        (110, events(48_000)),
        (126, events(8_000)),
    ];
    assert_eq!(known, wanted);
    let known: Vec<u8> = video.payloads.iter().map(|payload| payload.payload_type).collect();
    assert_eq!(known, [102, 104, 108, 114, 116, 39]);
    assert_eq!(offer.media[1].payloads[0].retransmission, Some(103));
    assert_eq!(offer.media[1].ssrc, Some(1_606_780_595));
    assert_eq!(offer.media[1].retransmission_ssrc, Some(2_471_817_500));
    assert!(data.rejected && !video.rejected && !audio.rejected);
    let secure = answer.secure.as_deref().expect("it answers WebRTC");
    assert_eq!((secure.setup, secure.ice_lite), (Setup::Passive, true));
    assert_eq!(answer.address, SERVER);
    let text = sdp::write(&answer, 1);
    assert!(text.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel"), "{text}");
    assert!(text.contains("a=group:BUNDLE 0 1\r\n"), "{text}");
}

#[test]
fn a_second_offer_turns_a_line_off_and_keeps_the_rest() {
    let second = CHROMIUM.replacen("m=video 48728", "m=video 0", 1).replacen("0 1 2", "0 2", 1);
    let (offer, answer) = answered(&second);
    assert!(offer.media[1].rejected && answer.media[1].rejected);
    let text = sdp::write_version(&answer, 1, 2);
    assert!(text.starts_with("v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\n"), "{text}");
    assert!(text.contains("a=group:BUNDLE 0\r\n"), "{text}");
    assert!(text.contains("m=video 0 UDP/TLS/RTP/SAVPF"), "{text}");
}

#[test]
fn what_is_missing_in_an_offer_is_named() {
    let without = |line: &str| {
        let kept: Vec<&str> = CHROMIUM.lines().filter(|l| !l.starts_with(line)).collect();
        sdp::parse(&(kept.join("\r\n") + "\r\n")).expect_err("something is missing")
    };
    let lacks = |attribute| ParseError::Lacks { index: 0, attribute };
    assert_eq!(without("a=ice-ufrag"), lacks("ice-ufrag"));
    assert_eq!(without("a=ice-pwd"), lacks("ice-pwd"));
    assert_eq!(without("a=fingerprint"), lacks("fingerprint:sha-256"));
    assert_eq!(without("a=setup"), lacks("setup"));
    assert_eq!(without("a=group"), ParseError::NotBundled { index: 1 });
    let changed = |from: &str, to: &str| {
        sdp::parse(&CHROMIUM.replace(from, to)).expect_err("something is wrong")
    };
    let attribute =
        |attribute: &str| ParseError::Attribute { index: 0, attribute: attribute.to_owned() };
    assert_eq!(changed("a=setup:actpass", "a=setup:holdconn"), attribute("setup:holdconn"));
    assert_eq!(changed("a=ice-ufrag:jETp", "a=ice-ufrag:jE"), attribute("ice-ufrag:jE"));
    let plain = changed("m=video 48728 UDP/TLS/RTP/SAVPF", "m=video 48728 RTP/AVP");
    assert_eq!(plain, ParseError::Mixed { index: 1, protocol: "RTP/AVP".to_owned() });
    let digest = changed("sha-256 E6:B2", "sha-256 E6");
    assert!(matches!(digest, ParseError::Attribute { index: 0, .. }), "{digest}");
}

#[test]
fn lines_without_a_port_of_their_own_are_not_rejected() {
    let bundled = CHROMIUM.replacen("m=video 48728", "m=video 0", 1);
    let bundled = bundled.replacen("a=mid:1\r\n", "a=mid:1\r\na=bundle-only\r\n", 1);
    let offer = sdp::parse(&bundled).expect("it is understood");
    assert!(!offer.media[1].rejected);
}
