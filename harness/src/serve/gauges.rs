//! Figures for Prometheus. Counters are kept at hand by those who count, so that a
//! request costs no look-up in a registry; what can be asked for (calls, sessions,
//! sockets) is asked for when somebody scrapes.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap, HashSet};

use callrig_signaling::event::{DropReason, Event, RelayDropReason};
use callrig_signaling::id::CallId;
use callrig_signaling::service::Load;
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder as _, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

use crate::actor::Kind;
use crate::drive::Stopwatch;
use crate::world::live::sockets;

const METADATA: Metadata<'static> = Metadata::new("callrig", Level::INFO, None);

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// All figures of a server.
pub struct Gauges {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl core::fmt::Debug for Gauges {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("Gauges")
    }
}

impl Gauges {
    /// Nothing is counted yet.
    ///
    /// # Errors
    /// None that could happen: the buckets are not empty.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&SECONDS)?.build_recorder();
        let handle = recorder.handle();
        for (name, unit, words) in DESCRIPTIONS {
            let (name, words) = (*name, (*words).into());
            match unit {
                Kept::Counter => recorder.describe_counter(name.into(), None, words),
                Kept::Gauge => recorder.describe_gauge(name.into(), None, words),
                Kept::Seconds => {
                    recorder.describe_histogram(name.into(), Some(Unit::Seconds), words);
                }
            }
        }
        let gauges = Self { recorder, handle };
        let version = Label::new("version", env!("CARGO_PKG_VERSION"));
        gauges.gauge("callrig_build_info", vec![version]).set(1.0);
        Ok(gauges)
    }

    /// A counter.
    pub fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    /// A gauge.
    pub fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    /// A histogram of times.
    pub fn seconds(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.recorder.register_histogram(&Key::from_parts(name, labels), &METADATA)
    }

    /// What one shard keeps and did.
    pub fn set_shard(&self, shard: usize, report: &ShardReport) {
        let label = || vec![Label::new("shard", shard.to_string())];
        let load = report.load;
        for (name, value) in [
            ("callrig_conversations", load.conversations),
            ("callrig_legs", load.legs),
            ("callrig_media_sessions", load.sessions),
            ("callrig_notification_outboxes", load.outboxes),
            ("callrig_own_requests_waiting", load.requests),
            ("callrig_timers", load.timers),
            ("callrig_sockets", report.sockets),
            ("callrig_inbox_backlog", report.backlog),
        ] {
            self.gauge(name, label()).set(value as f64);
        }
        for (state, calls) in &report.calls {
            let mut labels = label();
            labels.push(Label::new("state", state.clone()));
            self.gauge("callrig_calls", labels).set(*calls as f64);
        }
        for (kind, p50, p99) in &report.steps {
            for (quantile, value) in [("0.5", p50), ("0.99", p99)] {
                let mut labels = label();
                labels.push(Label::new("input", *kind));
                labels.push(Label::new("quantile", quantile));
                self.gauge("callrig_step_seconds", labels).set(*value);
            }
        }
        for (what, value) in [
            ("received", report.datagrams.received),
            ("sent", report.datagrams.sent),
            ("too_large", report.datagrams.too_large),
            ("unsent", report.datagrams.unsent),
            ("unroutable", report.datagrams.unroutable),
        ] {
            let mut labels = label();
            labels.push(Label::new("what", what));
            self.counter("callrig_datagrams_total", labels).absolute(value);
        }
    }

    /// Everything, as Prometheus reads it.
    #[must_use]
    pub fn render(&self) -> String {
        self.tidy();
        self.handle.render()
    }

    /// Puts what was recorded into its buckets. Until then every time is kept as it is, so that
    /// where nobody asks this has to be done all the same.
    pub fn tidy(&self) {
        self.handle.run_upkeep();
    }
}

enum Kept {
    Counter,
    Gauge,
    Seconds,
}

const DESCRIPTIONS: &[(&str, Kept, &str)] = &[
    ("callrig_requests_total", Kept::Counter, "Requests to the API, by route and status"),
    ("callrig_request_seconds", Kept::Seconds, "From a request's headers to its response"),
    ("callrig_requests_refused_total", Kept::Counter, "Requests that never reached the API"),
    ("callrig_notifications_total", Kept::Counter, "Notifications, by what became of them"),
    ("callrig_notification_attempts_total", Kept::Counter, "POSTs of notifications"),
    ("callrig_notification_seconds", Kept::Seconds, "From a change to its being taken by a bot"),
    ("callrig_calls_total", Kept::Counter, "Calls that were begun"),
    ("callrig_calls_ended_total", Kept::Counter, "Calls that are over, by code and subcode"),
    ("callrig_operations_total", Kept::Counter, "Operations that are over"),
    ("callrig_dropped_total", Kept::Counter, "What came in and belongs to nothing"),
    ("callrig_relay_dropped_total", Kept::Counter, "Packets of one leg that the other cannot take"),
    ("callrig_calls", Kept::Gauge, "Calls, by state"),
    ("callrig_conversations", Kept::Gauge, "Conversations"),
    ("callrig_legs", Kept::Gauge, "Legs of conversations"),
    ("callrig_media_sessions", Kept::Gauge, "Media sessions of the platform"),
    ("callrig_notification_outboxes", Kept::Gauge, "Calls with something left to tell"),
    ("callrig_own_requests_waiting", Kept::Gauge, "Own requests without an answer yet"),
    ("callrig_timers", Kept::Gauge, "Timers"),
    ("callrig_sockets", Kept::Gauge, "Open UDP sockets"),
    ("callrig_inbox_backlog", Kept::Gauge, "What waits for a shard"),
    ("callrig_phones", Kept::Gauge, "Phones of simulated people"),
    ("callrig_connections", Kept::Gauge, "Open connections to the HTTP server"),
    ("callrig_step_seconds", Kept::Gauge, "How long a step of a shard takes, by input"),
    ("callrig_datagrams_total", Kept::Counter, "Datagrams, by what became of them"),
    ("callrig_build_info", Kept::Gauge, "Which version this is"),
];

/// What a shard says of itself.
#[derive(Clone, Debug, Default)]
pub struct ShardReport {
    /// What it keeps.
    pub load: Load,
    /// Its calls by state.
    pub calls: Vec<(String, usize)>,
    /// Its open sockets.
    pub sockets: usize,
    /// What crossed them.
    pub datagrams: sockets::Counts,
    /// What waits in its inbox.
    pub backlog: usize,
    /// Kind of input, median and 99th percentile of its steps, in seconds.
    pub steps: Vec<(&'static str, f64, f64)>,
}

impl ShardReport {
    /// How long steps took.
    #[must_use]
    pub fn steps_of(cost: &Stopwatch) -> Vec<(&'static str, f64, f64)> {
        let kinds = Kind::ALL.into_iter().filter_map(|kind| {
            let histogram = cost.histogram(kind)?;
            let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e9;
            Some((kind.name(), at(0.5), at(0.99)))
        });
        kinds.collect()
    }
}

/// Counts what one shard says.
#[derive(Debug)]
pub struct Counting {
    requests: HashMap<(&'static str, u16), Counter>,
    ended: HashMap<(u16, u32), Counter>,
    dropped: BTreeMap<DropReason, Counter>,
    relay_dropped: BTreeMap<RelayDropReason, Counter>,
    alive: HashSet<CallId>,
    begun: Counter,
    operations: Counter,
    attempts: Counter,
    delivered: Counter,
    given_up: Counter,
    delivery: Histogram,
}

impl Counting {
    /// Nothing yet.
    #[must_use]
    pub fn new(gauges: &Gauges) -> Self {
        let notifications = |outcome: &'static str| {
            gauges.counter("callrig_notifications_total", vec![Label::new("outcome", outcome)])
        };
        Self {
            requests: HashMap::new(),
            ended: HashMap::new(),
            dropped: BTreeMap::new(),
            relay_dropped: BTreeMap::new(),
            alive: HashSet::new(),
            begun: gauges.counter("callrig_calls_total", Vec::new()),
            operations: gauges.counter("callrig_operations_total", Vec::new()),
            attempts: gauges.counter("callrig_notification_attempts_total", Vec::new()),
            delivered: notifications("delivered"),
            given_up: notifications("givenUp"),
            delivery: gauges.seconds("callrig_notification_seconds", Vec::new()),
        }
    }

    /// Takes one event in.
    pub fn count(&mut self, gauges: &Gauges, event: &Event) {
        match event {
            Event::RequestServed { route, status, .. } => {
                let counter = self.requests.entry((route, *status)).or_insert_with(|| {
                    let labels =
                        vec![Label::new("route", *route), Label::new("status", status.to_string())];
                    gauges.counter("callrig_requests_total", labels)
                });
                counter.increment(1);
            }
            Event::CallStateChanged { call, .. } if self.alive.insert(*call) => {
                self.begun.increment(1);
            }
            Event::CallEnded { call, result } => {
                self.alive.remove(call);
                let codes = (result.code, result.subcode);
                let counter = self.ended.entry(codes).or_insert_with(|| {
                    let labels = vec![
                        Label::new("code", codes.0.to_string()),
                        Label::new("subcode", codes.1.to_string()),
                    ];
                    gauges.counter("callrig_calls_ended_total", labels)
                });
                counter.increment(1);
            }
            Event::OperationEnded { .. } => self.operations.increment(1),
            Event::NotificationSent { .. } => self.attempts.increment(1),
            Event::NotificationDelivered { took, .. } => {
                self.delivered.increment(1);
                self.delivery.record(took.as_secs_f64());
            }
            Event::NotificationGivenUp { .. } => self.given_up.increment(1),
            Event::Dropped { reason } => {
                let counter = self.dropped.entry(*reason).or_insert_with(|| {
                    let label = Label::new("reason", format!("{reason:?}"));
                    gauges.counter("callrig_dropped_total", vec![label])
                });
                counter.increment(1);
            }
            Event::RelayDropped { reason, .. } => {
                let counter = self.relay_dropped.entry(*reason).or_insert_with(|| {
                    let label = Label::new("reason", format!("{reason:?}"));
                    gauges.counter("callrig_relay_dropped_total", vec![label])
                });
                counter.increment(1);
            }
            _ => {}
        }
    }
}

/// A time for a histogram.
pub fn record(histogram: &Histogram, took: Duration) {
    histogram.record(took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use callrig_signaling::call::result::EndResult;
    use callrig_signaling::call::state::State;
    use callrig_signaling::id::AppId;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn times_that_nobody_asks_for_take_no_room() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/statm").expect("it is there");
            let pages = text.split_whitespace().nth(1).map(str::parse::<u64>);
            pages.expect("it has two fields").expect("it is a number") * 4
        };
        let gauges = Gauges::new().expect("they can be built");
        let histogram = gauges.seconds("callrig_request_seconds", Vec::new());
        let before = resident();
        for _ in 0..2_000 {
            for _ in 0..10_000 {
                record(&histogram, Duration::from_micros(70));
            }
            gauges.tidy();
        }
        // As they were recorded they are 320 MB; other tests may take some at the same time.
        let kilobytes = resident().saturating_sub(before);
        assert!(kilobytes < 160_000, "{kilobytes} kB");
        assert!(gauges.render().contains("callrig_request_seconds_count 20000000"));
    }

    #[test]
    fn a_call_is_counted_once_when_it_begins_and_once_when_it_ends() {
        let gauges = Gauges::new().expect("they can be built");
        let mut counting = Counting::new(&gauges);
        let call = CallId::new(0, 1 << 64);
        for state in [State::Incoming, State::Establishing, State::Established] {
            let event = Event::CallStateChanged { call, app: AppId::new("a"), state };
            counting.count(&gauges, &event);
        }
        let result = EndResult::ended_by_bot();
        counting.count(&gauges, &Event::CallEnded { call, result });
        let text = gauges.render();
        assert!(text.contains("callrig_calls_total 1"), "{text}");
        assert!(text.contains("callrig_calls_ended_total{"), "{text}");
        assert!(counting.alive.is_empty());
    }
}
