//! RTCP of a session: reports when they are due, feedback when it is needed, and what the
//! peer's reports and feedback mean for our streams.

use core::time::Duration;

use bytes::Bytes;
use rand_pcg::Pcg64Mcg;

use super::lines::Lines;
use super::outbound::{Outbound, Resent};
use super::outbox::Outbox;
use super::receive::{Inbound, Receiver};
use super::send::Sender;
use super::track::Track;
use super::{Config, SendError};
use crate::event::{DropReason, Event, RemoteReport};
use crate::fault::{self, Fault};
use crate::rtcp::feedback::FullIntraEntry;
use crate::rtcp::interval::{Conditions, Expiry, Interval};
use crate::rtcp::report::{COUNT_MAX, Chunk, Item};
use crate::rtcp::source::round_trip_time;
use crate::rtcp::{
    self, Application, Bye, FullIntraRequest, Nack, Packet, PictureLoss, ReceiverEstimate,
    ReceiverReport, ReportBlock, Rules, SenderReport, SourceDescription,
};
use crate::time::{Epoch, Instant, NtpTime};

/// Bytes that a compound of ours is expected to need; it grows where it must.
const COMPOUND_BYTES: usize = 512;

/// Who we are, when we report, and how far away the peer is.
#[derive(Debug)]
pub(super) struct Control {
    epoch: Epoch,
    cname: Bytes,
    bandwidth: u64,
    report_interval_min: Duration,
    /// Starts with the first thing that happens.
    interval: Option<Interval>,
    pub(super) round_trip: Option<Duration>,
    pub(super) round_trip_total: Duration,
    pub(super) round_trips: u64,
    pub(super) compounds_sent: u64,
    pub(super) compounds_received: u64,
    /// What the peer is told that there is room for, of its pictures.
    limit: Option<u64>,
}

/// What a session is made of besides its control, lent for one call.
pub(super) struct Parts<'a> {
    pub(super) lines: &'a Lines,
    pub(super) receiver: &'a mut Receiver,
    pub(super) sender: &'a mut Sender,
    pub(super) out: &'a mut Outbox,
    pub(super) random: &'a mut Pcg64Mcg,
}

impl Parts<'_> {
    fn conditions(&self) -> Conditions {
        let remote = self.receiver.iter().filter(|stream| stream.ended.is_none()).count();
        let we_sent = self.sender.streams.iter().any(|stream| stream.active_reports > 0);
        Conditions { members: 1 + remote.max(1), senders: remote + usize::from(we_sent), we_sent }
    }
}

impl Control {
    pub(super) fn new(config: &Config, epoch: Epoch) -> Self {
        Self {
            epoch,
            cname: Bytes::copy_from_slice(config.cname.as_bytes()),
            bandwidth: config.bandwidth,
            report_interval_min: config.report_interval_min,
            interval: None,
            round_trip: None,
            round_trip_total: Duration::ZERO,
            round_trips: 0,
            compounds_sent: 0,
            compounds_received: 0,
            limit: None,
        }
    }

    /// Starts the clock of the reports, if it stands still.
    pub(super) fn start(&mut self, now: Instant, parts: &mut Parts<'_>) {
        if self.interval.is_none() {
            if fault::is(Fault::GoodbyeTooEarly) {
                self.send_bye(now, parts);
            }
            let conditions = parts.conditions();
            let minimum = self.report_interval_min;
            let interval = Interval::new(now, self.bandwidth, minimum, conditions, parts.random);
            self.interval = Some(interval);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.interval.as_ref().map(Interval::next)
    }

    /// Sends reports and feedback that are due.
    pub(super) fn handle_timeout(&mut self, now: Instant, parts: &mut Parts<'_>) {
        self.send_feedback(now, parts);
        let Some(interval) = &mut self.interval else { return };
        if interval.next() > now {
            return;
        }
        if interval.expire(now, parts.conditions(), parts.random) == Expiry::Send {
            let length = match fault::is(Fault::ReportsNeverSent) {
                true => COMPOUND_BYTES,
                false => {
                    // What was said before may be lost.
                    let limit = self.receiver_estimate(parts);
                    self.send_compound(now, parts, limit.into_iter().collect())
                }
            };
            for stream in &mut parts.sender.streams {
                stream.active_reports = stream.active_reports.saturating_sub(1);
            }
            let conditions = parts.conditions();
            if let Some(interval) = &mut self.interval {
                interval.sent(now, length, conditions, parts.random);
            }
        }
    }

    /// Asks for what is missing, where that was negotiated.
    pub(super) fn send_feedback(&mut self, now: Instant, parts: &mut Parts<'_>) {
        let sender_ssrc = parts.sender.reporting_ssrc();
        let mut feedback = Vec::new();
        for stream in parts.receiver.iter_mut() {
            let (nacks, wants_key_frame) = match &mut stream.track {
                Track::Pictures(track) => {
                    (&mut track.nacks, core::mem::take(&mut track.wants_key_frame))
                }
                Track::Relayed(track) => (&mut track.nacks, false),
                Track::Pending | Track::Sound(_) => continue,
            };
            let Some(line) = parts.lines.get(stream.line) else { continue };
            let media_ssrc = stream.source.ssrc();
            if line.nack {
                let nack = Nack::of(sender_ssrc, media_ssrc, nacks.due(now, self.round_trip));
                if !nack.pairs.is_empty() {
                    stream.nacks_sent += 1;
                    feedback.push(Packet::Nack(nack));
                }
            }
            if wants_key_frame && (line.pli || line.fir) {
                feedback.push(key_frame_request(sender_ssrc, stream, line.pli));
            }
        }
        while let Some(told) = parts.receiver.arrivals.feedback(now, sender_ssrc) {
            feedback.push(Packet::TransportFeedback(told));
        }
        if !feedback.is_empty() {
            self.send_compound(now, parts, feedback);
        }
    }

    /// Asks for a key frame now.
    pub(super) fn request_key_frame(
        &mut self,
        now: Instant,
        ssrc: u32,
        parts: &mut Parts<'_>,
    ) -> Result<(), SendError> {
        let sender_ssrc = parts.sender.reporting_ssrc();
        let stream = parts.receiver.get_mut(ssrc).ok_or(SendError::NoSuchStream { ssrc })?;
        let line = parts.lines.get(stream.line).filter(|line| line.pli || line.fir);
        let line = line.ok_or(SendError::NotNegotiated)?;
        let request = key_frame_request(sender_ssrc, stream, line.pli);
        self.send_compound(now, parts, vec![request]);
        Ok(())
    }

    /// Tells the peer how much of its pictures there is room for, now and with each report.
    pub(super) fn limit_sender(&mut self, now: Instant, bits: u64, parts: &mut Parts<'_>) {
        self.limit = Some(bits);
        if let Some(estimate) = self.receiver_estimate(parts) {
            self.send_compound(now, parts, vec![estimate]);
        }
    }

    fn receiver_estimate(&self, parts: &Parts<'_>) -> Option<Packet> {
        let bitrate = self.limit?;
        let listens = |stream: &&Inbound| {
            stream.ended.is_none() && parts.lines.get(stream.line).is_some_and(|line| line.remb)
        };
        let sources: Vec<u32> =
            parts.receiver.iter().filter(listens).map(|stream| stream.source.ssrc()).collect();
        let sender_ssrc = parts.sender.reporting_ssrc();
        let estimate = ReceiverEstimate { sender_ssrc, bitrate, sources };
        (!estimate.sources.is_empty()).then_some(Packet::ReceiverEstimate(estimate))
    }

    /// Says something to the peer's application.
    pub(super) fn say(&mut self, now: Instant, said: Application, parts: &mut Parts<'_>) {
        let ssrc = parts.sender.reporting_ssrc();
        self.send_compound(now, parts, vec![Packet::Application(Application { ssrc, ..said })]);
    }

    /// Says that all our streams end.
    pub(super) fn send_bye(&mut self, now: Instant, parts: &mut Parts<'_>) {
        if fault::is(Fault::GoodbyeForgotten) {
            return;
        }
        let sources = parts.sender.streams.iter().map(|stream| stream.ssrc).collect();
        self.send_compound(now, parts, vec![Packet::Bye(Bye { sources, reason: None })]);
    }

    /// Says that one number of ours is not ours any more.
    pub(super) fn send_bye_of(&mut self, now: Instant, ssrc: u32, parts: &mut Parts<'_>) {
        let sources = vec![ssrc];
        self.send_compound(now, parts, vec![Packet::Bye(Bye { sources, reason: None })]);
    }

    /// Sends reports on everything, our name, and `more`; how many bytes.
    fn send_compound(&mut self, now: Instant, parts: &mut Parts<'_>, more: Vec<Packet>) -> usize {
        let blocks: Vec<ReportBlock> = parts
            .receiver
            .iter_mut()
            .filter(|stream| stream.ended.is_none() && stream.source.packets_received() > 0)
            .map(|stream| stream.source.report(now))
            .collect();
        let mut packets = self.reports(now, parts.sender, &blocks);
        if fault::is(Fault::ReportNotFirst) {
            packets.insert(0, self.description(parts.sender));
        } else if !fault::is(Fault::CanonicalNameMissing) {
            packets.push(self.description(parts.sender));
        }
        packets.extend(more);
        self.compounds_sent += 1;
        parts.out.send(COMPOUND_BYTES, |bytes| rtcp::write(&packets, bytes))
    }

    fn reports(&self, now: Instant, sender: &Sender, blocks: &[ReportBlock]) -> Vec<Packet> {
        let mut chunks = blocks.chunks(COUNT_MAX);
        let mut packets: Vec<Packet> = sender
            .streams
            .iter()
            .filter(|stream| stream.active_reports > 0)
            .filter_map(|stream| self.sender_report(now, stream))
            .map(|mut report| {
                report.reports = chunks.next().unwrap_or_default().to_vec();
                Packet::SenderReport(report)
            })
            .collect();
        let ssrc = sender.reporting_ssrc();
        for reports in chunks {
            let (reports, extension) = (reports.to_vec(), Bytes::new());
            packets.push(Packet::ReceiverReport(ReceiverReport { ssrc, reports, extension }));
        }
        if packets.is_empty() {
            packets.push(Packet::ReceiverReport(ReceiverReport { ssrc, ..Default::default() }));
        }
        packets
    }

    fn sender_report(&self, now: Instant, stream: &Outbound) -> Option<SenderReport> {
        let mut ntp = self.epoch.ntp_at(now);
        if fault::is(Fault::SenderReportASecondLate) {
            ntp = NtpTime::from_bits(ntp.to_bits() - (1 << 32));
        }
        let mut octets = stream.payload_bytes;
        if fault::is(Fault::OctetsWithHeaders) {
            octets += 12 * stream.packets;
        }
        Some(SenderReport {
            ssrc: stream.ssrc,
            ntp,
            rtp_timestamp: stream.timestamp_at(now)?,
            packet_count: stream.packets as u32,
            octet_count: octets as u32,
            reports: Vec::new(),
            extension: Bytes::new(),
        })
    }

    fn description(&self, sender: &Sender) -> Packet {
        let reporting = sender.reporting_ssrc();
        let active = sender.streams.iter().filter(|s| s.active_reports > 0).map(|s| s.ssrc);
        let others = active.filter(|ssrc| *ssrc != reporting);
        let chunk = |ssrc| Chunk {
            ssrc,
            items: vec![Item { kind: rtcp::report::CNAME, text: self.cname.clone() }],
        };
        let ssrcs = core::iter::once(reporting).chain(others).take(COUNT_MAX);
        Packet::SourceDescription(SourceDescription { chunks: ssrcs.map(chunk).collect() })
    }

    /// Takes a datagram of RTCP.
    pub(super) fn receive(&mut self, now: Instant, datagram: &Bytes, parts: &mut Parts<'_>) {
        let packets = match rtcp::parse(datagram, Rules::ReducedSize) {
            Ok(packets) => packets,
            Err(_) => return parts.out.drop(now, DropReason::MalformedRtcp, None, None),
        };
        self.compounds_received += 1;
        if let Some(interval) = &mut self.interval {
            interval.observe(datagram.len());
        }
        for packet in packets {
            match packet {
                Packet::SenderReport(report) => {
                    if let Some(stream) = parts.receiver.get_mut(report.ssrc) {
                        stream.source.sender_report(now, report.ntp);
                    }
                    self.receive_blocks(now, report.ssrc, &report.reports, parts);
                }
                Packet::ReceiverReport(report) => {
                    self.receive_blocks(now, report.ssrc, &report.reports, parts);
                }
                Packet::Bye(bye) => self.receive_bye(now, &bye, parts),
                Packet::Application(application) => {
                    parts.out.event(Event::Application(application));
                }
                Packet::Nack(nack) => receive_nack(now, &nack, parts),
                Packet::PictureLoss(pli) => receive_picture_loss(now, pli, parts),
                Packet::FullIntraRequest(fir) => receive_full_intra(now, &fir, parts),
                Packet::TransportFeedback(feedback) => {
                    parts.sender.path.feedback(now, &feedback, parts.out);
                }
                Packet::ReceiverEstimate(estimate) => {
                    parts.sender.path.receiver_estimate(now, estimate.bitrate, parts.out);
                }
                // Nothing here depends on them.
                Packet::SourceDescription(_) | Packet::Other { .. } => {}
            }
        }
    }

    fn receive_blocks(
        &mut self,
        now: Instant,
        reporter: u32,
        blocks: &[ReportBlock],
        parts: &mut Parts<'_>,
    ) {
        let mut worst: f64 = 0.0;
        for block in blocks {
            let Some(stream) = parts.sender.get_mut(block.ssrc) else {
                parts.out.drop(now, DropReason::UnknownSource, Some(block.ssrc), None);
                continue;
            };
            let round_trip_time = round_trip_time(self.epoch.ntp_at(now), block);
            if let Some(round_trip) = round_trip_time {
                self.round_trip = Some(round_trip);
                self.round_trip_total += round_trip;
                self.round_trips += 1;
            }
            let report = RemoteReport {
                ssrc: block.ssrc,
                reporter,
                fraction_lost: f64::from(block.fraction_lost) / 256.0,
                packets_lost: block.packets_lost,
                jitter: block.jitter,
                round_trip_time,
                highest_sequence: block.highest_sequence,
            };
            stream.remote = Some(report);
            worst = worst.max(report.fraction_lost);
            parts.out.event(Event::RemoteReport(report));
        }
        if !blocks.is_empty() {
            parts.sender.path.lost(now, worst, parts.out);
        }
    }

    fn receive_bye(&mut self, now: Instant, bye: &Bye, parts: &mut Parts<'_>) {
        let before = parts.conditions().members;
        for ssrc in &bye.sources {
            parts.receiver.end(*ssrc, now, parts.out);
        }
        let members = parts.conditions().members;
        if let Some(interval) = &mut self.interval {
            interval.leave(now, before, members);
        }
    }
}

fn key_frame_request(sender_ssrc: u32, stream: &mut Inbound, pli: bool) -> Packet {
    let media_ssrc = stream.source.ssrc();
    if pli {
        stream.plis_sent += 1;
        return Packet::PictureLoss(PictureLoss { sender_ssrc, media_ssrc });
    }
    let sequence_number = stream.firs_sent as u8;
    stream.firs_sent += 1;
    let entries = vec![FullIntraEntry { ssrc: media_ssrc, sequence_number }];
    Packet::FullIntraRequest(FullIntraRequest { sender_ssrc, entries })
}

fn receive_nack(now: Instant, nack: &Nack, parts: &mut Parts<'_>) {
    let Some(index) = parts.sender.find(nack.media_ssrc) else {
        return parts.out.drop(now, DropReason::UnknownSource, Some(nack.media_ssrc), None);
    };
    parts.sender.streams[index].nacks_received += 1;
    // One event per NACK, so that a few bytes cannot make thousands of events.
    let mut unknown = None;
    for number in nack.numbers() {
        if parts.sender.resend(now, index, number, parts.out) == Resent::NotInCache {
            let (_, count) = unknown.get_or_insert((number, 0));
            *count += 1;
        }
    }
    if let Some((number, count)) = unknown {
        parts.out.drop(now, DropReason::NotInCache, Some(nack.media_ssrc), Some(number));
        parts.out.count_dropped(DropReason::NotInCache, count - 1);
    }
}

fn receive_picture_loss(now: Instant, pli: PictureLoss, parts: &mut Parts<'_>) {
    let Some(stream) = parts.sender.get_mut(pli.media_ssrc) else {
        return parts.out.drop(now, DropReason::UnknownSource, Some(pli.media_ssrc), None);
    };
    stream.plis_received += 1;
    parts.out.event(Event::KeyFrameRequested { ssrc: pli.media_ssrc });
}

fn receive_full_intra(now: Instant, fir: &FullIntraRequest, parts: &mut Parts<'_>) {
    for entry in &fir.entries {
        let Some(stream) = parts.sender.get_mut(entry.ssrc) else {
            parts.out.drop(now, DropReason::UnknownSource, Some(entry.ssrc), None);
            continue;
        };
        // The same number is the same request, sent again (RFC 5104 section 4.3.1.2).
        if stream.fir_number.replace(entry.sequence_number) != Some(entry.sequence_number) {
            stream.firs_received += 1;
            parts.out.event(Event::KeyFrameRequested { ssrc: entry.ssrc });
        }
    }
}
