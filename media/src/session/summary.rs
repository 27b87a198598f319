//! The statistics of a session, gathered from its parts.

use super::receive::{self, Receiver};
use super::{Session, outbound, track};
use crate::event::DropReason;
use crate::stats::{Inbound, Outbound, Pictures, RemoteInbound, Stats, Track, seconds};

pub(super) fn stats(session: &Session) -> Stats {
    let control = &session.control;
    let dropped = session.out.dropped();
    let dropped = DropReason::ALL
        .into_iter()
        .map(|reason| (reason, dropped[reason.index()]))
        .filter(|(_, count)| *count > 0)
        .collect();
    let Receiver { finished, forgotten, forgotten_packets, .. } = &session.receiver;
    let inbound = session.receiver.iter().map(inbound).chain(finished.iter().cloned()).collect();
    Stats {
        datagrams_received: session.counts.datagrams,
        rtp_received: session.counts.rtp,
        rtcp_received: session.counts.rtcp,
        rtcp_sent: control.compounds_sent,
        current_round_trip_time: control.round_trip.map(seconds),
        total_round_trip_time: seconds(control.round_trip_total),
        round_trip_time_measurements: control.round_trips,
        available_outgoing_bitrate: session.sender.path.estimate().map(|bits| bits as f64),
        probes_sent: session.sender.path.probes,
        inbound,
        inbound_forgotten: *forgotten,
        inbound_forgotten_packets: *forgotten_packets,
        probes_received: session.receiver.probes,
        outbound: session.sender.streams.iter().map(sent).collect(),
        dropped,
    }
}

pub(super) fn inbound(stream: &receive::Inbound) -> Inbound {
    Inbound {
        ssrc: stream.source.ssrc(),
        kind: stream.kind,
        media: stream.line,
        rid: stream.rid.clone(),
        payload_type: stream.payload_type,
        codec: stream.codec,
        clock_rate: stream.source.clock_rate(),
        ended: stream.ended,
        source: stream.source.stats(),
        retransmitted_packets_received: stream.recovered,
        nack_count: stream.nacks_sent,
        pli_count: stream.plis_sent,
        fir_count: stream.firs_sent,
        track: fate(&stream.track),
    }
}

fn fate(track: &track::Track) -> Track {
    match track {
        track::Track::Pending => Track::Pending,
        track::Track::Relayed(track) => {
            Track::Relayed { packets: track.packets, overflowed: track.overflowed }
        }
        track::Track::Sound(track) => Track::Sound {
            playout: track.playout.stats(),
            tone_packets: track.tone_packets,
            malformed_tone_packets: track.malformed_tone_packets,
            silent_packets: track.silent_packets,
        },
        track::Track::Pictures(track) => Track::Pictures(Pictures {
            frames_decoded: track.frames_decoded,
            decode_errors: track.decode_errors,
            ..Pictures::of(&track.assembler.stats())
        }),
    }
}

fn sent(stream: &outbound::Outbound) -> Outbound {
    let clock_rate = stream.codec.map_or(1, |codec| codec.clock_rate());
    let remote = stream.remote.map(|report| RemoteInbound {
        packets_lost: report.packets_lost,
        fraction_lost: report.fraction_lost,
        jitter: f64::from(report.jitter) / f64::from(clock_rate),
        round_trip_time: report.round_trip_time.map(seconds),
    });
    Outbound {
        ssrc: stream.ssrc,
        kind: stream.kind,
        media: stream.line,
        forwarded: stream.forwarded,
        packets_sent: stream.packets,
        bytes_sent: stream.payload_bytes,
        retransmitted_packets_sent: stream.packets_resent,
        retransmitted_bytes_sent: stream.bytes_resent,
        total_packet_send_delay: seconds(stream.send_delay),
        frames_discarded: stream.thinner.frames_discarded,
        nack_count: stream.nacks_received,
        pli_count: stream.plis_received,
        fir_count: stream.firs_received,
        remote,
    }
}
