//! Bytes from outside, one file or datagram at a time.

use bytes::{Bytes, BytesMut};
use callrig_media::audio::Audio;
use callrig_media::codec::opus::Decoder;
use callrig_media::payload::opus;
use callrig_media::prompt::{Player, Wav};
use callrig_media::transport::sdp;
use callrig_media::{rtcp, rtp};

/// An RTP packet: what is read is written back and read again.
pub fn rtp(data: &[u8]) {
    let Ok(packet) = rtp::Packet::parse(Bytes::copy_from_slice(data)) else { return };
    assert!(packet.header.length() + packet.payload.len() <= data.len());
    let extensions = &packet.header.extensions;
    for (id, element) in extensions {
        assert!(extensions.get(id).is_some(), "element {id} of {} bytes", element.len());
        let _ = (extensions.audio_level(id), extensions.mid(id));
        let _ = (extensions.absolute_send_time(id), extensions.transport_sequence(id));
    }
    let written = packet.to_bytes();
    assert_eq!(written.len(), packet.length());
    assert_eq!(rtp::Packet::parse(written), Ok(packet));
}

/// An RTCP compound, under either rule.
pub fn rtcp(data: &[u8]) {
    let datagram = Bytes::copy_from_slice(data);
    let _ = rtp::demultiplex(data);
    let strict = rtcp::parse(&datagram, rtcp::Rules::Compound);
    let lenient = rtcp::parse(&datagram, rtcp::Rules::ReducedSize);
    if strict.is_ok() {
        assert_eq!(strict, lenient, "whoever keeps the strict rule keeps the lenient one");
    }
    let Ok(packets) = lenient else { return };
    for packet in &packets {
        if let rtcp::Packet::Nack(nack) = packet {
            assert!(nack.numbers().count() <= 17 * data.len());
        }
    }
    let mut written = BytesMut::new();
    rtcp::write(&packets, &mut written);
    assert_eq!(rtcp::parse(&written.freeze(), rtcp::Rules::ReducedSize), Ok(packets));
}

/// A session description: what is understood of it is written and understood the same.
pub fn sdp(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(description) = sdp::parse(text) else { return };
    let written = sdp::write(&description, 1);
    assert_eq!(sdp::parse(&written).as_ref(), Ok(&description), "{written}");
    let answer = description.answer(&description);
    assert_eq!(answer.media.len(), description.media.len());
}

/// An Opus packet: valid exactly if libopus says so, of the same frames and duration.
pub fn opus(data: &[u8]) {
    let ours = opus::Packet::parse(data);
    let theirs = ::opus::packet::parse(data);
    assert_eq!(ours.is_ok(), theirs.is_ok(), "{ours:?} {:?}", theirs.err());
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return };
    assert_eq!(ours.frames().collect::<Vec<_>>(), theirs.frames);
    let mut decoder = Decoder::new(48_000, 1).expect("a rate of Opus");
    let decoded = decoder.decode(data, &mut [0; 5_760]);
    assert_eq!(decoded.ok(), Some(ours.ticks() as usize));
}

/// A prompt: refused, or played to its end at another rate.
pub fn wav(data: &[u8]) {
    let Ok(wav) = Wav::parse(data) else { return };
    let samples = wav.samples().len();
    assert!(2 * samples <= data.len(), "{samples} samples out of {} bytes", data.len());
    assert_eq!(Wav::parse(&wav.write()).as_ref().map(Wav::samples), Ok(wav.samples()));
    let mut player = Player::new(vec![wav], false, 48_000).expect("one short prompt");
    let mut audio = Audio::default();
    let mut frames = 0;
    while player.pull(&mut audio) {
        assert_eq!(audio.samples.len(), 960);
        frames += 1;
        assert!(frames <= samples / 320 + 2, "{frames} frames of {samples} samples");
    }
    assert!(player.completion().is_some());
}
