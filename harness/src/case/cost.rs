//! What the work cost in real time. Noisy by nature: for people to look at, and for a gate
//! that compares with a run of the base in the same job.

use callrig_reports::metric::registry as metrics;
use callrig_reports::metric::{Definition, Unit};
use callrig_reports::{Histogram, Metric};
use hdrhistogram::Histogram as Hdr;

use super::{Case, Evidence, Judgement};
use crate::actor::{ActorId, Kind};
use crate::measure::arrivals;
use crate::network::Network;
use crate::stage::Stage;
use crate::subject::Subject;

/// All cases of this file.
pub const CASES: &[Case] = &[
    Case {
        id: "cost/received",
        title: "what it costs to receive, buffer, decode and account for the recording",
        requirements: Vec::new,
        stage: Stage::Listen,
        applies,
        judge: received,
    },
    Case {
        id: "cost/relayed",
        title: "what it costs to carry the recording through a call without decoding it",
        requirements: Vec::new,
        stage: Stage::Relay,
        applies,
        judge: relayed,
    },
];

fn applies(subject: &Subject, _: &Network) -> bool {
    subject.kind != "hostile"
}

fn received(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let packets = arrivals::between(evidence.trace, cast.platform, cast.bot).len();
    of_actor(evidence, (cast.bot, "received"), packets)
}

fn relayed(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let packets = arrivals::between(evidence.trace, cast.user, cast.platform).len();
    of_actor(evidence, (cast.platform, "relayed"), packets)
}

/// What the steps of one actor cost, labelled with what it did.
fn of_actor(
    evidence: &Evidence<'_>,
    (actor, did): (ActorId, &'static str),
    packets: usize,
) -> Judgement {
    let mut judgement = Judgement::default();
    let Some(watch) = evidence.costs.get(usize::from(actor.0)) else { return judgement };
    let total = watch.total_nanos();
    if total == 0 || packets == 0 {
        return judgement;
    }
    let busy = total as f64 / 1e9;
    let media = evidence.subject.duration().as_secs_f64();
    judgement.metrics.extend([
        Metric::new(&metrics::PACKETS_PER_CORE_SECOND, packets as f64 / busy).labelled(did),
        Metric::new(&metrics::REAL_TIME_FACTOR, media / busy).labelled(did),
    ]);
    if let Some(steps) = watch.histogram(Kind::Datagram) {
        let definitions =
            [&metrics::PROCESSING_PER_PACKET_P50, &metrics::PROCESSING_PER_PACKET_P99];
        report(&mut judgement, steps, ("processingTimePerPacket", did), definitions);
    }
    // With sound and pictures in one session nobody can say whose a step was.
    let subject = evidence.subject;
    if let Some(frames) = watch.frames().filter(|_| subject.has_audio() != subject.has_video()) {
        let definitions = [&metrics::PROCESSING_PER_FRAME_P50, &metrics::PROCESSING_PER_FRAME_P99];
        report(&mut judgement, frames, ("processingTimePerFrame", did), definitions);
    }
    judgement
}

/// A distribution, and its median and 99th percentile as metrics.
fn report(
    judgement: &mut Judgement,
    nanos: &Hdr<u64>,
    (name, did): (&'static str, &'static str),
    [median, high]: [&'static Definition; 2],
) {
    let at = |quantile: f64| nanos.value_at_quantile(quantile) as f64 / 1e9;
    let both = [Metric::new(median, at(0.5)), Metric::new(high, at(0.99))];
    judgement.metrics.extend(both.map(|metric| metric.labelled(did)));
    judgement.histograms.push(Histogram::of(format!("{name} {did}"), Unit::Seconds, 1e-9, nanos));
}
