//! What the work cost in real time. Noisy by nature: for people to look at, and for a gate
//! that compares with a run of the base in the same job.

use callrig_reports::metric::Unit;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Histogram, Metric};
use hdrhistogram::Histogram as Hdr;

use super::{Case, Evidence, Judgement};
use crate::actor::Kind;
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
    of_actors(evidence, &[cast.bot.0], packets)
}

fn relayed(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let packets = arrivals::between(evidence.trace, cast.user, cast.platform).len();
    of_actors(evidence, &[cast.platform.0], packets)
}

fn of_actors(evidence: &Evidence<'_>, actors: &[u16], packets: usize) -> Judgement {
    let mut judgement = Judgement::default();
    let watches = actors.iter().filter_map(|actor| evidence.costs.get(usize::from(*actor)));
    let (mut total, mut steps): (u64, Option<Hdr<u64>>) = (0, None);
    for watch in watches {
        total += watch.total_nanos();
        if let Some(histogram) = watch.histogram(Kind::Datagram) {
            match &mut steps {
                Some(sum) => sum.add(histogram).expect("all stopwatches have the same bounds"),
                None => steps = Some(histogram.clone()),
            }
        }
    }
    if total == 0 || packets == 0 {
        return judgement;
    }
    let busy = total as f64 / 1e9;
    let media = evidence.subject.duration().as_secs_f64();
    judgement.metrics.extend([
        Metric::new(&metrics::PACKETS_PER_CORE_SECOND, packets as f64 / busy),
        Metric::new(&metrics::REAL_TIME_FACTOR, media / busy),
    ]);
    if let Some(steps) = steps {
        let at = |quantile: f64| steps.value_at_quantile(quantile) as f64 / 1e9;
        judgement.metrics.extend([
            Metric::new(&metrics::PROCESSING_PER_PACKET_P50, at(0.5)),
            Metric::new(&metrics::PROCESSING_PER_PACKET_P99, at(0.99)),
        ]);
        judgement.histograms.push(Histogram::of(
            "processingTimePerPacket",
            Unit::Seconds,
            1e-9,
            &steps,
        ));
    }
    judgement
}
