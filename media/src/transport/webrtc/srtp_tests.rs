//! `rtc-srtp`'s contexts judge ours, both ways; and what they would let through is refused.

use proptest::collection::vec;
use proptest::prelude::*;
use rtc_srtp::context::Context;
use rtc_srtp::crypto::{RTCCryptoProvider, default_provider};
use rtc_srtp::protection_profile::ProtectionProfile;

use super::*;

const KEY: [u8; 16] = *b"sixteen byte key";
const SALT: [u8; 14] = *b"fourteen bytes";
const PROFILES: [Profile; 2] = [Profile::AeadAes128Gcm, Profile::Aes128CmSha1];

fn provider() -> std::sync::Arc<dyn RTCCryptoProvider> {
    default_provider().expect("ring is built in")
}

fn ours(profile: Profile) -> (Protector, Opener) {
    let (provider, master) = (provider(), Master { key: &KEY, salt: &SALT[..profile.salt()] });
    let protector = Protector::new(profile, master, provider.crypto()).expect("the key fits");
    let opener = Opener::new(profile, master, provider.crypto()).expect("the key fits");
    (protector, opener)
}

fn theirs(profile: Profile) -> Context {
    let name = match profile {
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::Aes128CmSha1 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let (provider, salt) = (provider(), &SALT[..profile.salt()]);
    Context::new(&KEY, salt, name, None, None, provider.crypto()).expect("the key fits")
}

fn rtp(ssrc: u32, number: u16, extension: &[u8], payload: &[u8]) -> BytesMut {
    let mut packet = BytesMut::new();
    packet.put_u8(if extension.is_empty() { 0x80 } else { 0x90 });
    packet.put_u8(111);
    packet.put_u16(number);
    packet.put_u32(u32::from(number) * 960);
    packet.put_u32(ssrc);
    if !extension.is_empty() {
        packet.put_u16(0xbede);
        packet.put_u16(extension.len().div_ceil(4) as u16);
        packet.put_slice(extension);
        packet.put_bytes(0, extension.len().next_multiple_of(4) - extension.len());
    }
    packet.put_slice(payload);
    packet
}

/// None, or one element; `rtc-srtp` takes an extension to be as long as it would write it,
/// which for padding between elements is not as long as it is.
fn extensions() -> impl Strategy<Value = Vec<u8>> {
    let element = (1..15_u8, vec(any::<u8>(), 1..=16)).prop_map(|(id, data)| {
        let mut element = vec![id << 4 | (data.len() - 1) as u8];
        element.extend(data);
        element
    });
    prop_oneof![Just(Vec::new()), element]
}

fn rtcp(ssrc: u32, body: &[u8]) -> BytesMut {
    let mut packet = BytesMut::new();
    packet.put_slice(&[0x80, 201, 0, 1 + (body.len() / 4) as u8]);
    packet.put_u32(ssrc);
    packet.put_slice(body);
    packet
}

/// RFC 3711 appendix B.3.
#[test]
fn session_keys_are_those_of_the_standard() {
    let key = 0xe1f9_7a0d_3e01_8be0_d64f_a32c_06de_4139_u128.to_be_bytes();
    let salt = [0x0e, 0xc6, 0x75, 0xad, 0x49, 0x8a, 0xfe, 0xeb, 0xb6, 0x96, 0x0b, 0x3a, 0xab, 0xe6];
    let (provider, master) = (provider(), Master { key: &key, salt: &salt });
    let mut cipher = [0; 16];
    derive(master, 0, &mut cipher, provider.crypto()).expect("the key fits");
    assert_eq!(u128::from_be_bytes(cipher), 0xc61e_7a93_744f_39ee_1073_4afe_3ff7_a087);
    let mut session_salt = [0; 14];
    derive(master, 2, &mut session_salt, provider.crypto()).expect("the key fits");
    let wanted =
        [0x30, 0xcb, 0xbc, 0x08, 0x86, 0x3d, 0x8c, 0x85, 0xd4, 0x9d, 0xb3, 0x4a, 0x9a, 0xe1];
    assert_eq!(session_salt, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packets_go_both_ways_between_rtc_srtp_and_us(
        ssrc in any::<u32>(),
        start in any::<u16>(),
        steps in vec((1..300_u16, extensions(), vec(any::<u8>(), 0..1200)), 1..40),
    ) {
        for profile in PROFILES {
            let ((mut protector, mut opener), mut them) = (ours(profile), theirs(profile));
            let mut them_in = theirs(profile);
            let mut number = start;
            for (step, extension, payload) in &steps {
                number = number.wrapping_add(*step);
                let plain = rtp(ssrc, number, extension, payload);
                let mut packet = plain.clone();
                prop_assert_eq!(protector.rtp(&mut packet), Ok(()));
                let opened = them_in.decrypt_rtp(&packet).expect("it is right");
                prop_assert_eq!(&opened[..], &plain[..]);
                let mut packet = them.encrypt_rtp(&plain).expect("it is a packet");
                prop_assert_eq!(opener.rtp(&mut packet), Ok(()));
                prop_assert_eq!(&packet[..], &plain[..]);
                let plain = rtcp(ssrc, &payload[..payload.len() / 4 % 50 * 4]);
                let mut packet = plain.clone();
                prop_assert_eq!(protector.rtcp(&mut packet), Ok(()));
                let opened = them_in.decrypt_rtcp(&packet).expect("it is right");
                prop_assert_eq!(&opened[..], &plain[..]);
                let mut packet = them.encrypt_rtcp(&plain).expect("it is a packet");
                prop_assert_eq!(opener.rtcp(&mut packet), Ok(()));
                prop_assert_eq!(&packet[..], &plain[..]);
            }
        }
    }

    #[test]
    fn what_is_no_packet_of_the_peer_is_never_opened(bytes in vec(any::<u8>(), 0..200)) {
        for profile in PROFILES {
            let (mut protector, mut opener) = ours(profile);
            prop_assert!(opener.rtp(&mut BytesMut::from(&bytes[..])).is_err());
            prop_assert!(opener.rtcp(&mut BytesMut::from(&bytes[..])).is_err());
            prop_assert_eq!(opener.rtp_sources.sources.len(), 0);
            prop_assert_eq!(opener.rtcp_sources.sources.len(), 0);
            let _ = protector.rtp(&mut BytesMut::from(&bytes[..]));
            let _ = protector.rtcp(&mut BytesMut::from(&bytes[..]));
        }
    }

    #[test]
    fn a_packet_with_any_bit_changed_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        for profile in PROFILES {
            let (mut protector, mut opener) = ours(profile);
            let mut packet = rtp(7, 1, &[0x10, 1, 2, 3], &[5; 50]);
            protector.rtp(&mut packet).expect("it is a packet");
            let place = at.index(packet.len());
            packet[place] ^= 1 << bit;
            prop_assert!(opener.rtp(&mut packet).is_err(), "byte {}", place);
        }
    }

    /// The window against a list of everything that was taken.
    #[test]
    fn a_number_is_taken_once(numbers in vec(0..5_000_u64, 1..300)) {
        let mut window = Window::new();
        let mut taken: Vec<u64> = Vec::new();
        for number in numbers {
            let newest = taken.iter().copied().max();
            let old = newest.is_some_and(|newest| newest >= number + WINDOW);
            prop_assert_eq!(window.is_new(number), !old && !taken.contains(&number));
            if window.is_new(number) {
                window.take(number);
                taken.push(number);
            }
        }
    }
}

#[test]
fn a_replay_is_named_as_such() {
    for profile in PROFILES {
        let (mut protector, mut opener) = ours(profile);
        let (mut media, mut report) = (rtp(7, 1, &[], &[5; 50]), rtcp(7, &[1; 8]));
        protector.rtp(&mut media).expect("it is a packet");
        protector.rtcp(&mut report).expect("it is a packet");
        assert_eq!(opener.rtp(&mut media.clone()), Ok(()));
        assert_eq!(opener.rtp(&mut media), Err(DropReason::Replayed));
        assert_eq!(opener.rtcp(&mut report.clone()), Ok(()));
        assert_eq!(opener.rtcp(&mut report), Err(DropReason::Replayed));
    }
}

#[test]
fn packets_come_out_of_order_around_a_wrap() {
    for profile in PROFILES {
        let (mut protector, mut opener) = ours(profile);
        let mut packets: Vec<BytesMut> = (65_500_u32..65_600)
            .map(|number| {
                let mut packet = rtp(7, number as u16, &[], &number.to_be_bytes());
                protector.rtp(&mut packet).expect("it is a packet");
                packet
            })
            .collect();
        packets[1..].reverse();
        for mut packet in packets {
            assert_eq!(opener.rtp(&mut packet), Ok(()));
        }
    }
}

#[test]
fn another_packet_under_the_same_number_does_not_leave() {
    for profile in PROFILES {
        let (mut protector, _) = ours(profile);
        let send =
            |p: &mut Protector, number, payload: &[u8]| p.rtp(&mut rtp(7, number, &[], payload));
        assert_eq!(send(&mut protector, 1, b"one"), Ok(()));
        assert_eq!(send(&mut protector, 2, b"two"), Ok(()));
        assert_eq!(send(&mut protector, 1, b"one"), Ok(()), "sent again as it was");
        assert_eq!(send(&mut protector, 1, b"ONE"), Err(Refusal::Reused));
        assert_eq!(send(&mut protector, 600, b"far on"), Ok(()));
        assert_eq!(send(&mut protector, 1, b"one"), Err(Refusal::Reused), "too long ago");
    }
}

#[test]
fn sources_are_remembered_up_to_a_number() {
    let (mut protector, mut opener) = ours(Profile::AeadAes128Gcm);
    let mut them = theirs(Profile::AeadAes128Gcm);
    for ssrc in 0..SOURCES_MAX as u32 {
        assert_eq!(protector.rtp(&mut rtp(ssrc, 1, &[], b"x")), Ok(()));
        assert_eq!(opener.rtp(&mut them.encrypt_rtp(&rtp(ssrc, 1, &[], b"x")).expect("x")), Ok(()));
    }
    assert_eq!(protector.rtp(&mut rtp(1_000, 1, &[], b"x")), Err(Refusal::TooManySources));
    let mut packet = them.encrypt_rtp(&rtp(1_000, 1, &[], b"x")).expect("x");
    assert_eq!(opener.rtp(&mut packet), Err(DropReason::TooManyStreams));
    assert_eq!(protector.rtp(&mut rtp(5, 2, &[], b"x")), Ok(()));
}
