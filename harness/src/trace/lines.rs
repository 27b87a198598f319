//! A trace as JSON lines: one fact on each, times in nanoseconds of the world's clock,
//! payloads in base64. The first line names the actors and paths that the others refer
//! to. Two runs of the same seed give the same bytes.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use callrig_media::event::{Event, PacketEvent};
use callrig_media::rtp;
use serde_json::{Value, json};

use crate::link::Fate;
use crate::said::{Leg, Said};
use crate::trace::{Answered, Asked, Crossed, Heard, Path, Seen, Trace, What};

/// Writes all of it.
///
/// # Errors
/// Those of the writer.
pub fn write<W: Write>(trace: &Trace, mut to: W) -> io::Result<W> {
    let paths: Vec<Value> = trace.paths().iter().map(|path| path_value(trace, path)).collect();
    let head = json!({ "callrigTrace": 1, "paths": paths });
    writeln!(to, "{head}")?;
    for fact in trace.facts() {
        let (kind, mut value) = value(trace, &fact.what);
        value["at"] = json!(fact.at);
        value["fact"] = json!(kind);
        writeln!(to, "{value}")?;
    }
    Ok(to)
}

fn value(trace: &Trace, what: &What) -> (&'static str, Value) {
    match what {
        What::Crossed(crossed) => ("crossed", crossed_value(crossed)),
        What::Asked(asked) => ("asked", asked_value(trace, asked)),
        What::Answered(answered) => ("answered", answered_value(trace, answered)),
        What::Heard(heard) => ("heard", heard_value(trace, heard)),
        What::Seen(seen) => ("seen", seen_value(trace, seen)),
        What::Said(who, said) => {
            let mut value = said_value(said);
            value["who"] = json!(trace.actor(*who));
            ("said", value)
        }
    }
}

fn path_value(trace: &Trace, path: &Path) -> Value {
    json!({
        "from": trace.actor(path.from),
        "to": path.to.map(|to| trace.actor(to)),
        "source": path.source,
        "destination": path.destination,
    })
}

fn crossed_value(crossed: &Crossed) -> Value {
    let mut value = json!({
        "path": crossed.path.0,
        "payload": BASE64.encode(&crossed.payload),
    });
    match crossed.fate {
        Fate::Delivered(at) => value["deliveredAt"] = json!([at]),
        Fate::Duplicated(first, second) => value["deliveredAt"] = json!([first, second]),
        Fate::Dropped(cause) => value["dropped"] = json!(cause),
    }
    // For people: what finds the packet in Wireshark.
    if rtp::demultiplex(&crossed.payload) == rtp::Demultiplexed::Rtp
        && let Ok(packet) = rtp::Packet::parse(crossed.payload.clone())
    {
        let header = &packet.header;
        value["rtp"] = json!({
            "ssrc": header.ssrc,
            "sequenceNumber": header.sequence_number,
            "timestamp": header.timestamp,
            "payloadType": header.payload_type,
            "marker": header.marker,
        });
    }
    value
}

fn asked_value(trace: &Trace, asked: &Asked) -> Value {
    json!({
        "from": trace.actor(asked.from),
        "to": asked.to.map(|to| trace.actor(to)),
        "id": asked.request.id,
        "method": asked.request.method,
        "uri": asked.request.uri,
        "headers": asked.request.headers,
        "body": body(&asked.request.body),
    })
}

fn answered_value(trace: &Trace, answered: &Answered) -> Value {
    json!({
        "from": trace.actor(answered.from),
        "to": trace.actor(answered.to),
        "id": answered.response.id,
        "status": answered.response.status,
        "headers": answered.response.headers,
        "body": body(&answered.response.body),
    })
}

/// JSON as it is, other text as a string, anything else in base64.
fn body(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| match core::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": BASE64.encode(bytes) }),
    })
}

fn heard_value(trace: &Trace, heard: &Heard) -> Value {
    let track = &trace.tracks()[usize::from(heard.track)];
    json!({
        "who": trace.actor(track.who),
        "leg": track.leg.0,
        "ssrc": track.ssrc,
        "start": heard.start,
        "samples": heard.samples,
        "timestamp": heard.timestamp,
        "kind": heard.kind,
        "concealed": heard.concealed,
    })
}

fn seen_value(trace: &Trace, seen: &Seen) -> Value {
    let screen = &trace.screens()[usize::from(seen.screen)];
    json!({
        "who": trace.actor(screen.who),
        "leg": screen.leg.0,
        "index": seen.index,
        "timestamp": seen.timestamp,
        "width": seen.width,
        "height": seen.height,
        "likeness": seen.likeness.map(|likeness| json!({
            "psnr": likeness.psnr.is_finite().then_some(likeness.psnr),
            "ssim": likeness.ssim,
        })),
    })
}

fn said_value(said: &Said) -> Value {
    match said {
        Said::Packet(leg, packet) => json!({ "leg": leg.0, "packet": packet_value(packet) }),
        Said::Media(leg, event) => media_value(*leg, event),
        // For people to read; what a judge needs of calls crossed as requests.
        Said::Service(event) => json!({ "service": format!("{event:?}") }),
        Said::Bot(event) => json!({ "bot": format!("{event:?}") }),
        Said::Note(note) => json!({ "note": note }),
        Said::Fault(fault) => json!({ "fault": fault }),
    }
}

fn packet_value(packet: &PacketEvent) -> Value {
    json!({
        "ssrc": packet.ssrc,
        "sequence": packet.sequence,
        "timestamp": packet.timestamp,
        "payloadType": packet.payload_type,
        "marker": packet.marker,
        "payloadLength": packet.payload_length,
        "audioLevel": packet.audio_level,
        "jitter": packet.jitter,
        "transit": packet.transit,
        "order": packet.order,
    })
}

fn media_value(leg: Leg, event: &Event) -> Value {
    let (name, mut value) = match event {
        Event::StreamStarted(started) => ("streamStarted", json!(started)),
        Event::StreamEnded { ssrc, reason } => {
            ("streamEnded", json!({ "ssrc": ssrc, "reason": reason }))
        }
        Event::Packet(packet) => ("packet", packet_value(packet)),
        // These two never get here: the trace turns them into facts of their own.
        Event::Audio(_) => ("audio", json!({})),
        Event::Picture(_) => ("picture", json!({})),
        Event::Tone(tone) => (
            "tone",
            json!({
                "tone": tone.tone,
                "timestamp": tone.timestamp,
                "durationMs": tone.duration.as_secs_f64() * 1e3,
                "endLost": tone.end_lost,
                "inBand": tone.in_band,
            }),
        ),
        Event::Frame(frame) => (
            "frame",
            json!({
                "ssrc": frame.ssrc,
                "timestamp": frame.timestamp,
                "bytes": frame.data.len(),
                "keyFrame": frame.key_frame,
                "firstSequence": frame.first_sequence,
                "lastSequence": frame.last_sequence,
                "resolution": frame.resolution,
            }),
        ),
        Event::FrameDropped { ssrc, timestamp, cause } => {
            ("frameDropped", json!({ "ssrc": ssrc, "timestamp": timestamp, "cause": cause.name() }))
        }
        Event::KeyFrameRequested { ssrc } => ("keyFrameRequested", json!({ "ssrc": ssrc })),
        Event::RemoteReport(report) => (
            "remoteReport",
            json!({
                "ssrc": report.ssrc,
                "fractionLost": report.fraction_lost,
                "packetsLost": report.packets_lost,
                "jitter": report.jitter,
                "roundTripTimeMs": report.round_trip_time.map(|time| time.as_secs_f64() * 1e3),
            }),
        ),
        Event::SourceChanged { from, to } => ("sourceChanged", json!({ "from": from, "to": to })),
        Event::Dropped(dropped) => (
            "dropped",
            json!({
                "reason": dropped.reason,
                "ssrc": dropped.ssrc,
                "sequenceNumber": dropped.sequence_number,
            }),
        ),
        Event::Transport(event) => ("transport", json!({ "what": event.to_string() })),
    };
    value["event"] = json!(name);
    value["leg"] = json!(leg.0);
    value
}
