//! What strangers and liars can do to a transport: nothing that lasts.

use callrig_media::datagram::Datagram;
use callrig_media::description::{Fingerprint, Secure, Setup};
use callrig_media::event::{CloseReason, DropReason, TransportEvent};
use callrig_media::time::Instant;
use callrig_media::transport::webrtc::{
    Certificate, Config, ConfigError, Input, Output, SendError, Transport, describe,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::SERVER;

fn peer() -> core::net::SocketAddr {
    core::net::SocketAddr::from(([192, 0, 2, 77], 40_000))
}

fn sides() -> (Certificate, Secure, Secure) {
    let certificate = Certificate::generate().expect("cryptography works");
    let local = describe(&certificate, SERVER, 1).expect("cryptography works");
    let local = Secure { setup: Setup::Passive, ..local };
    let remote = describe(&certificate, peer(), 2).expect("cryptography works");
    (certificate, local, Secure { ice_lite: false, setup: Setup::ActPass, ..remote })
}

fn transport() -> Transport {
    let (certificate, local, remote) = sides();
    Transport::new(Config::new(SERVER, local, remote, certificate)).expect("the sides fit")
}

fn outputs(transport: &mut Transport) -> Vec<Output> {
    core::iter::from_fn(|| transport.poll_output()).collect()
}

fn give(transport: &mut Transport, payload: &[u8]) -> Vec<Output> {
    let payload = bytes::Bytes::copy_from_slice(payload);
    let datagram = Datagram { source: peer(), destination: SERVER, payload };
    transport.handle_input(Instant::ZERO, Input::Datagram(datagram));
    outputs(transport)
}

fn reasons(outputs: &[Output]) -> Vec<DropReason> {
    let dropped = outputs.iter().filter_map(|output| match output {
        Output::Event(TransportEvent::Dropped(dropped)) => Some(dropped.reason),
        _ => None,
    });
    dropped.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stranger_gets_no_answer(payloads in vec(vec(any::<u8>(), 0..200), 1..20)) {
        let mut transport = transport();
        for payload in payloads {
            let outputs = give(&mut transport, &payload);
            prop_assert_eq!(outputs.len(), 1);
            prop_assert_eq!(reasons(&outputs).len(), 1);
            prop_assert_eq!(transport.peer(), None);
        }
    }
}

#[test]
fn every_stranger_hears_why_in_the_events_only() {
    let mut transport = transport();
    let reason = |transport: &mut Transport, payload: &[u8]| reasons(&give(transport, payload));
    assert_eq!(reason(&mut transport, &[0x80; 40]), [DropReason::ForeignAddress]);
    assert_eq!(reason(&mut transport, &[22; 40]), [DropReason::ForeignAddress]);
    assert_eq!(reason(&mut transport, &[0, 1, 0, 0]), [DropReason::MalformedStun]);
    assert_eq!(reason(&mut transport, &[]), [DropReason::ForeignAddress]);
    assert_eq!(transport.protect(&[0x80; 20]), Err(SendError::NotConnected));
}

#[test]
fn a_peer_that_never_comes_is_given_up() {
    let mut transport = transport();
    assert_eq!(transport.poll_timeout(), None, "nothing has happened yet");
    transport.handle_input(Instant::ZERO, Input::Timeout);
    let due = transport.poll_timeout().expect("the clock has started");
    assert_eq!(due, Instant::from_millis(30_000));
    transport.handle_input(due, Input::Timeout);
    let closed = Output::Event(TransportEvent::Closed { reason: CloseReason::NotReached });
    assert_eq!(outputs(&mut transport), [closed]);
    assert_eq!(transport.poll_timeout(), None);
    assert_eq!(reasons(&give(&mut transport, &[0x80; 20])), [DropReason::Closed]);
}

#[test]
fn sides_that_cannot_come_together_are_refused() {
    let (certificate, local, remote) = sides();
    let build = |local: &Secure, remote: &Secure| {
        let config = Config::new(SERVER, local.clone(), remote.clone(), certificate.clone());
        Transport::new(config).map(|_| ())
    };
    assert_eq!(build(&local, &remote), Ok(()));
    let lite = Secure { ice_lite: true, ..remote.clone() };
    assert_eq!(build(&local, &lite), Err(ConfigError::BothLite));
    let passive = Secure { setup: Setup::Passive, ..remote.clone() };
    assert!(matches!(build(&local, &passive), Err(ConfigError::Setup { .. })));
    let other = Secure { fingerprint: Fingerprint([0; 32]), ..local };
    assert_eq!(build(&other, &remote), Err(ConfigError::Certificate));
}

#[test]
fn credentials_follow_from_the_seed_and_differ_with_it() {
    let certificate = Certificate::generate().expect("cryptography works");
    let describe = |seed| describe(&certificate, SERVER, seed).expect("cryptography works");
    assert_eq!(describe(1), describe(1));
    assert_ne!(describe(1).ufrag, describe(2).ufrag);
    assert_ne!(describe(1).password, describe(2).password);
    assert_ne!(describe(1).ufrag, describe(1).password[..12]);
}

mod connected {
    use callrig_media::datagram::Datagram;
    use callrig_media::description::{Fingerprint, Secure};
    use callrig_media::event::{CloseReason, DropReason, TransportEvent};
    use callrig_media::time::Instant;
    use callrig_media::transport::webrtc::{Certificate, Input, Output, SendError};

    use super::super::pair::{LEFT, Pair, RIGHT, check, sides};
    use super::{outputs, reasons};

    /// A packet of RTP.
    fn packet(number: u16) -> Vec<u8> {
        let mut packet = vec![0x80, 111];
        packet.extend(number.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend([0, 0, 0, 9]);
        packet.extend([7; 40]);
        packet
    }

    fn give(pair: &mut Pair, datagram: Datagram) -> Vec<Output> {
        pair.left.handle_input(Instant::ZERO, Input::Datagram(datagram));
        outputs(&mut pair.left)
    }

    #[test]
    fn packets_arrive_as_they_left_and_a_replay_does_not() {
        let mut pair = Pair::connected();
        let sent = pair.right.protect(&packet(1)).expect("it is connected");
        assert_eq!((sent.source, sent.destination), (RIGHT, LEFT));
        assert_eq!(give(&mut pair, sent.clone()), [Output::Media(packet(1).into())]);
        let replayed = give(&mut pair, sent.clone());
        assert_eq!(reasons(&replayed), [DropReason::Replayed]);
        let Output::Event(TransportEvent::Dropped(dropped)) = replayed[0] else { unreachable!() };
        assert_eq!((dropped.ssrc, dropped.sequence_number), (Some(9), Some(1)));
        let elsewhere = Datagram { source: ([192, 0, 2, 99], 1).into(), ..sent };
        assert_eq!(reasons(&give(&mut pair, elsewhere)), [DropReason::ForeignAddress]);
        let mut forged = pair.right.protect(&packet(2)).expect("it is connected");
        let mut payload = forged.payload.to_vec();
        payload[20] ^= 1;
        forged.payload = payload.into();
        assert_eq!(reasons(&give(&mut pair, forged)), [DropReason::NotAuthentic]);
        assert_eq!(pair.right.protect(&[7; 30]), Err(SendError::Malformed));
    }

    #[test]
    fn another_certificate_than_the_announced_one_ends_it() {
        let certificate = Certificate::generate().expect("cryptography works");
        let (left, right) = sides(&certificate);
        let lied = Secure { fingerprint: Fingerprint([3; 32]), ..right.clone() };
        let mut pair = Pair::new(&certificate, (&left, &lied));
        pair.join(&left, &right);
        let failed = TransportEvent::Closed { reason: CloseReason::HandshakeFailed };
        assert!(pair.said.contains(&(LEFT, failed)), "{:?}", pair.said);
        assert!(pair.said.contains(&(RIGHT, failed)), "it is told: {:?}", pair.said);
        assert!(!pair.left.is_connected());
    }

    #[test]
    fn a_peer_that_moves_is_followed_once_it_says_so() {
        let certificate = Certificate::generate().expect("cryptography works");
        let (left, right) = sides(&certificate);
        let mut pair = Pair::new(&certificate, (&left, &right));
        pair.join(&left, &right);
        let moved = core::net::SocketAddr::from(([192, 0, 2, 3], 5_000));
        let at = |payload| Datagram { source: moved, destination: LEFT, payload };
        let there = give(&mut pair, at(check(&right, &left, false)));
        assert!(there.contains(&Output::Event(TransportEvent::WayFound { address: moved })));
        assert_eq!(pair.left.peer(), Some(RIGHT), "it has only been tried");
        let media = pair.right.protect(&packet(1)).expect("it is connected").payload;
        assert_eq!(give(&mut pair, at(media)).len(), 1, "it may already send from there");
        let chosen = give(&mut pair, at(check(&right, &left, true)));
        assert!(chosen.contains(&Output::Event(TransportEvent::WayChosen { address: moved })));
        let sent = pair.left.protect(&packet(1)).expect("it is connected");
        assert_eq!(sent.destination, moved);
    }

    #[test]
    fn a_peer_has_only_so_many_addresses_and_keeps_the_one_in_use() {
        let certificate = Certificate::generate().expect("cryptography works");
        let (left, right) = sides(&certificate);
        let mut pair = Pair::new(&certificate, (&left, &right));
        pair.join(&left, &right);
        let mut balance = 0_i32;
        for port in 1..200 {
            let payload = check(&right, &left, false);
            let source = core::net::SocketAddr::from(([192, 0, 2, 3], port));
            for output in give(&mut pair, Datagram { source, destination: LEFT, payload }) {
                balance += match output {
                    Output::Event(TransportEvent::WayFound { .. }) => 1,
                    Output::Event(TransportEvent::WayLost { .. }) => -1,
                    _ => 0,
                };
            }
        }
        assert_eq!(balance, 7, "with the first one eight are known");
        assert_eq!(pair.left.peer(), Some(RIGHT));
    }

    #[test]
    fn silence_ends_it_and_so_does_a_goodbye() {
        let mut pair = Pair::connected();
        let due = pair.left.poll_timeout().expect("it watches");
        assert_eq!(due, Instant::from_millis(30_000));
        pair.left.handle_input(due, Input::Timeout);
        let silent = Output::Event(TransportEvent::Closed { reason: CloseReason::Silence });
        assert!(outputs(&mut pair.left).contains(&silent));
        let mut pair = Pair::connected();
        pair.right.close(Instant::ZERO);
        let goodbye = outputs(&mut pair.right);
        for output in goodbye {
            let Output::Datagram(datagram) = output else { continue };
            pair.carry(datagram);
        }
        let left = TransportEvent::Closed { reason: CloseReason::Peer };
        assert!(pair.said.contains(&(LEFT, left)), "{:?}", pair.said);
        assert_eq!(pair.right.protect(&packet(1)), Err(SendError::Closed));
    }

    /// Records that `rtc-dtls` would keep for ever, or put together by recursion.
    #[test]
    fn a_flood_of_handshake_is_counted_and_ends() {
        let certificate = Certificate::generate().expect("cryptography works");
        let (left, right) = sides(&certificate);
        let mut pair = Pair::new(&certificate, (&left, &right));
        let payload = check(&right, &left, true);
        let to_left = |payload| Datagram { source: RIGHT, destination: LEFT, payload };
        give(&mut pair, to_left(payload));
        let record = |kind: u8, epoch: u8, body: &[u8]| {
            let mut record =
                vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, 0, body.len() as u8];
            record.extend(body);
            record
        };
        let mut seen = Vec::new();
        for offset in 0..600_u16 {
            let [high, low] = offset.to_be_bytes();
            let fragment = [1, 0, 8, 0, 0, 0, 0, high, low, 0, 0, 1, 0xaa];
            let next = record(23, 1, &[0; 40]);
            for record in [record(22, 0, &fragment), next] {
                seen.extend(reasons(&give(&mut pair, to_left(record.into()))));
            }
        }
        assert!(seen.iter().filter(|reason| **reason == DropReason::Overflow).count() > 500);
        let beyond = [1, 0, 0, 9, 0, 0, 0, 0, 8, 0, 0, 2, 0, 0];
        let wrong = give(&mut pair, to_left(record(22, 0, &beyond).into()));
        assert_eq!(reasons(&wrong), [DropReason::MalformedDtls]);
    }
}
