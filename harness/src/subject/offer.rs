//! What the telephone of a recording offers: a media line for its sound, one for each of
//! its pictures, with the payload types that the recording uses.

use callrig_corpora::codec::Codec as CodecName;
use callrig_corpora::flow::Flow;
use callrig_corpora::manifest::{Content, Entry, FlowEntry};
use callrig_corpora::recording::Recording;
use callrig_media::description::{
    Codec, Extension, ExtensionId, MediaDescription, MediaKind, Payload, Simulcast,
};

use crate::schedule::Numbering;
use crate::subject::phones::Phone;

/// How many lines with pictures a call has: ten cameras and a screen.
const LINES_MAX: [(MediaKind, usize); 2] = [(MediaKind::Video, 10), (MediaKind::ScreenSharing, 1)];

/// The media lines of a phone; none if it sends nothing that can be played.
#[must_use]
pub fn of(recording: &Recording, phone: &Phone, entry: Option<&Entry>) -> Vec<MediaDescription> {
    let mut sound: Vec<Payload> = Vec::new();
    let mut pictures: Vec<(Line, MediaDescription)> = Vec::new();
    let mut taken: Vec<(u8, Codec)> = Vec::new();
    for flow in phone.sent(recording) {
        for payload in &flow.payloads {
            let number = payload.payload_type;
            let Some(codec) = codec(recording, flow, number, entry) else { continue };
            // One port for everything: a payload type can stand for one codec only.
            match taken.iter().find(|(known, _)| *known == number) {
                Some((_, known)) if !known.is_compatible(codec) => continue,
                Some(_) => {}
                None => taken.push((number, codec)),
            }
            if !codec.is_video() {
                if !sound.iter().any(|known| known.payload_type == number) {
                    sound.push(Payload::new(number, codec));
                }
            } else {
                let layer = layer(recording, flow, entry);
                let payload = Payload::new(number, codec);
                picture(&mut pictures, flow, kind(flow, entry), layer, payload);
            }
        }
    }
    if sound.is_empty() && pictures.is_empty() {
        return Vec::new();
    }
    if !sound.iter().any(|payload| payload.codec.is_audio()) {
        // There is no call without sound: every telephone has G.711.
        let number = unused(&taken);
        sound.push(Payload::new(number, Codec::Pcmu));
    }
    let mut lines = vec![MediaDescription { payloads: sound, ..MediaDescription::audio("0") }];
    for (_, mut line) in pictures {
        let alike = lines.iter().filter(|other| other.kind == line.kind).count();
        if LINES_MAX.contains(&(line.kind, alike)) {
            continue;
        }
        line.mid = lines.len().to_string();
        lines.push(line);
    }
    lines
}

/// The lines of pictures that were put into packets here: a telephone's sound, and them.
#[must_use]
pub fn video_lines(numbering: Numbering) -> Vec<MediaDescription> {
    let codec = Codec::H264 { packetization_mode: 1 };
    let sound = vec![Payload::new(0, Codec::Pcmu)];
    let pictures = vec![Payload::new(numbering.payload_type, codec)];
    vec![
        MediaDescription::audio("0").with_payloads(sound),
        MediaDescription::video("1").with_ssrc(numbering.ssrc).with_payloads(pictures),
    ]
}

/// The same from a phone that sends lost packets of pictures again, in streams of their own
/// (RFC 4588).
#[must_use]
pub fn sending_again(media: &[MediaDescription]) -> Vec<MediaDescription> {
    let mut taken: Vec<(u8, Codec)> = media
        .iter()
        .flat_map(|line| &line.payloads)
        .map(|payload| (payload.payload_type, payload.codec))
        .collect();
    let mut sources: Vec<u32> = media.iter().filter_map(|line| line.ssrc).collect();
    let mut lines = media.to_vec();
    for line in lines.iter_mut().filter(|line| line.kind.is_video()) {
        for payload in line.payloads.iter_mut().filter(|payload| payload.codec.is_video()) {
            let is_free = |number: &u8| !taken.iter().any(|(known, _)| known == number);
            let number = (96..=127).rev().find(is_free).unwrap_or_else(|| unused(&taken));
            taken.push((number, payload.codec));
            payload.retransmission = Some(number);
        }
        let others = |ssrc: u32| (1..).map(move |step| ssrc.wrapping_add(step));
        line.retransmission_ssrc =
            line.ssrc.and_then(|ssrc| others(ssrc).find(|other| !sources.contains(other)));
        sources.extend(line.retransmission_ssrc);
    }
    lines
}

/// The line of sound that was encoded here.
#[must_use]
pub fn opus_line(numbering: Numbering, stereo: bool) -> MediaDescription {
    MediaDescription {
        payloads: vec![Payload::new(numbering.payload_type, Codec::Opus { stereo })],
        extensions: vec![ExtensionId { id: 1, extension: Extension::AudioLevel }],
        ..MediaDescription::audio("0")
    }
}

/// Sound in a rate and number of channels that Opus takes: rates that it does not have are
/// brought to 48 kHz in a straight line from sample to sample, further channels left out.
///
/// # Errors
/// A rate of zero or far beyond hearing.
pub fn encodable(samples: &[i16], rate: u32, channels: u16) -> Result<(Vec<i16>, u32, u8), String> {
    if !(4_000..=384_000).contains(&rate) || channels == 0 {
        return Err(format!("{rate} Hz with {channels} channels is no sound for a telephone"));
    }
    let kept = channels.min(2);
    let samples: Vec<i16> = samples
        .iter()
        .enumerate()
        .filter(|(index, _)| index % usize::from(channels) < usize::from(kept))
        .map(|(_, sample)| *sample)
        .collect();
    if matches!(rate, 8_000 | 12_000 | 16_000 | 24_000 | 48_000) {
        return Ok((samples, rate, kept as u8));
    }
    let width = usize::from(kept);
    let frames = samples.len() / width;
    let wanted = (frames as u64 * 48_000 / u64::from(rate)) as usize;
    let mut brought = Vec::with_capacity(wanted * width);
    for frame in 0..wanted as u64 {
        let scaled = frame * u64::from(rate);
        let (at, part) = ((scaled / 48_000) as usize, (scaled % 48_000).cast_signed());
        for channel in 0..width {
            let this = i64::from(samples[at * width + channel]);
            let next = samples.get((at + 1) * width + channel).map_or(this, |&next| next.into());
            brought.push((this + (next - this) * part / 48_000) as i16);
        }
    }
    Ok((brought, 48_000, kept as u8))
}

/// Which flows share a line with pictures.
struct Line {
    route: callrig_corpora::recording::RouteId,
    payload_type: u8,
    ssrc: u32,
    last: core::time::Duration,
    /// Under which number its packets say which layer they are of.
    layers: Option<u8>,
}

/// Puts pictures on a line: that of the flow, or of other layers of it, or of one that ended
/// before it began under the same payload type (a sender that changed its SSRC), or on a new one.
fn picture(
    lines: &mut Vec<(Line, MediaDescription)>,
    flow: &Flow,
    kind: MediaKind,
    layer: Option<(u8, String)>,
    payload: Payload,
) {
    let payload_type = payload.payload_type;
    let layers = layer.as_ref().map(|(id, _)| *id);
    for (line, description) in lines.iter_mut() {
        let is_here = line.route == flow.route
            && line.payload_type == payload_type
            && description.kind == kind;
        if let Some((_, name)) = layer.as_ref().filter(|_| is_here && line.layers == layers) {
            description.ssrc = None;
            let layers = description.simulcast.iter_mut().map(|simulcast| &mut simulcast.layers);
            layers.for_each(|names| names.push(name.clone()));
            return;
        }
        if line.ssrc == flow.ssrc && line.route == flow.route {
            if description.payload(payload_type).is_none() {
                description.payloads.push(payload);
            }
            return;
        }
        if is_here && line.last <= flow.first {
            line.last = flow.last;
            line.ssrc = flow.ssrc;
            description.ssrc = None;
            return;
        }
    }
    let (route, ssrc, last) = (flow.route, flow.ssrc, flow.last);
    let line = MediaDescription { kind, ..MediaDescription::video("") };
    let mut description = line.with_ssrc(ssrc).with_payloads(vec![payload]);
    if let Some((id, name)) = layer {
        description.extensions.push(ExtensionId { id, extension: Extension::StreamId });
        description.simulcast = Some(Simulcast { sends: true, layers: vec![name] });
    }
    lines.push((Line { route, payload_type, ssrc, last, layers }, description));
}

fn stated<'a>(flow: &Flow, entry: Option<&'a Entry>) -> Option<&'a FlowEntry> {
    entry?.flows.iter().find(|known| known.ssrc == flow.ssrc)
}

/// What the pictures of a flow are of.
fn kind(flow: &Flow, entry: Option<&Entry>) -> MediaKind {
    match stated(flow, entry).and_then(|stated| stated.content) {
        Some(Content::Slides) => MediaKind::ScreenSharing,
        None => MediaKind::Video,
    }
}

/// The layer that a flow is stated to be, and under which number its packets say so.
fn layer(recording: &Recording, flow: &Flow, entry: Option<&Entry>) -> Option<(u8, String)> {
    let name = stated(flow, entry)?.layer.as_ref()?;
    let first = recording.arrivals.iter().find(|arrival| arrival.flow == Some(flow.id))?;
    let packet = callrig_media::rtp::Packet::parse(first.payload.clone()).ok()?;
    let says = packet.header.extensions.iter().find(|(_, said)| *said == name.as_bytes())?;
    Some((says.0, name.clone()))
}

/// What a payload type of a flow stands for, if that can be played.
fn codec(
    recording: &Recording,
    flow: &Flow,
    payload_type: u8,
    entry: Option<&Entry>,
) -> Option<Codec> {
    let stated = entry.and_then(|entry| {
        let same =
            |known: &&FlowEntry| known.ssrc == flow.ssrc && known.payload_type == payload_type;
        entry.flows.iter().find(same).map(|known| (known.codec.clone(), known.clock_rate))
    });
    let guessed = || {
        let payload = flow.payloads.iter().find(|known| known.payload_type == payload_type)?;
        Some((payload.codec.clone()?, payload.clock_rate.unwrap_or(0)))
    };
    let (name, clock_rate) = stated.or_else(guessed)?;
    match name {
        CodecName::Opus => Some(Codec::Opus { stereo: is_stereo(recording, flow, payload_type) }),
        CodecName::Pcmu if clock_rate == 8_000 => Some(Codec::Pcmu),
        CodecName::Pcma if clock_rate == 8_000 => Some(Codec::Pcma),
        CodecName::TelephoneEvent if clock_rate > 0 => Some(Codec::TelephoneEvent { clock_rate }),
        CodecName::H264 => Some(Codec::H264 { packetization_mode: 1 }),
        _ => None,
    }
}

/// Whether any of the first packets says so in its first byte (RFC 6716 section 3.1).
fn is_stereo(recording: &Recording, flow: &Flow, payload_type: u8) -> bool {
    const LOOKED_AT: usize = 100;
    recording
        .arrivals
        .iter()
        .filter(|arrival| arrival.flow == Some(flow.id))
        .filter_map(|arrival| callrig_media::rtp::Packet::parse(arrival.payload.clone()).ok())
        .filter(|packet| packet.header.payload_type == payload_type)
        .take(LOOKED_AT)
        .any(|packet| packet.payload.first().is_some_and(|first| first & 0x04 != 0))
}

/// 0 is PCMU's own number; another one if the recording uses 0 for something else. Those
/// that could be taken for RTCP on a shared port (RFC 5761 section 4) are never free.
fn unused(taken: &[(u8, Codec)]) -> u8 {
    (0..=127)
        .filter(|number| !(64..=95).contains(number))
        .find(|number| !taken.iter().any(|(known, _)| known == number))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_again_has_numbers_of_its_own() {
        let of = |ssrc| Numbering { ssrc, payload_type: 127, ..Numbering::default() };
        let (one, other) = (of(7), of(8));
        let media = [video_lines(one), video_lines(other).split_off(1)].concat();
        let lines = sending_again(&media);
        let again = |line: &MediaDescription| (line.payloads[0].retransmission, line.ssrc);
        assert_eq!(again(&lines[0]), (None, None), "sound is not");
        assert_eq!(again(&lines[1]), (Some(126), Some(7)));
        assert_eq!(again(&lines[2]), (Some(125), Some(8)));
        assert_eq!(lines[1].retransmission_ssrc, Some(9), "8 is somebody's");
        assert_eq!(lines[2].retransmission_ssrc, Some(10));
    }

    #[test]
    fn sound_of_44_1_khz_is_brought_to_48() {
        let ramp: Vec<i16> = (0..441).collect();
        let (brought, rate, channels) = encodable(&ramp, 44_100, 1).expect("a usual rate");
        assert_eq!((brought.len(), rate, channels), (480, 48_000, 1));
        assert_eq!(brought[240], 220);
    }

    #[test]
    fn of_five_channels_two_are_kept() {
        let samples = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let (kept, _, channels) = encodable(&samples, 48_000, 5).expect("48 kHz");
        assert_eq!((kept, channels), (vec![1, 2, 6, 7], 2));
    }
}
