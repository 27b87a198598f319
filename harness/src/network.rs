//! The networks that a run can be told to use, by name. Each is a pair of links between
//! a person and the platform, and the drift of the person's clock. The figures are
//! chosen to put one thing to the test at a time (`loss-5`, `reorder`, ...) or to be
//! like a place where people call from (`lan`, `wifi`, `lte`).

use core::time::Duration;
use std::collections::BTreeMap;

use serde::Serialize;
use thiserror::Error;

use crate::link::{
    Bottleneck, Config, Duplication, GilbertElliott, Jitter, Outage, PartsPerMillion, Reordering,
    Shape,
};

/// A named network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// What to call it on the command line and in reports.
    pub name: &'static str,
    /// What it does, in one line with its figures.
    pub description: &'static str,
    /// Each direction does the same, with its own random choices.
    pub link: Config,
    /// How much the person's clock gains, in parts per million.
    pub drift_ppm: i32,
}

/// No network has this name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("there is no network preset \"{name}\"{}; `callrig list` shows all of them", suggestion(.nearest))]
pub struct UnknownNetwork {
    /// What was asked for.
    pub name: String,
    /// The name that was perhaps meant.
    pub nearest: Option<&'static str>,
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!(" (did you mean \"{name}\"?)")).unwrap_or_default()
}

/// No network at all.
pub const CLEAN: Network = Network {
    name: "clean",
    description: "arrives as it was recorded: no delay, no loss",
    link: IDLE,
    drift_ppm: 0,
};

/// All of them, in the order in which reports show them.
pub const NETWORKS: [Network; 15] = [
    CLEAN,
    Network {
        name: "lan",
        description: "1 ms \u{b1} 0.3 ms, in order",
        link: Config { delay: ms(1), jitter: bell(Duration::from_micros(300)), ..IDLE },
        drift_ppm: 0,
    },
    Network {
        name: "wifi",
        description: "8 ms \u{b1} 8 ms in order, 1 % loss in bursts of 2.5",
        link: Config {
            delay: ms(8),
            jitter: bell(ms(8)),
            bursts: Some(GilbertElliott {
                worsen: PartsPerMillion(4_000),
                recover: PartsPerMillion(400_000),
                loss_good: PartsPerMillion(0),
                loss_bad: PartsPerMillion::ONE,
            }),
            ..IDLE
        },
        drift_ppm: 0,
    },
    Network {
        name: "lte",
        description: "45 ms \u{b1} 25 ms in order, 0.3 % loss, 8 Mbit/s with a queue of 300 ms",
        link: Config {
            delay: ms(45),
            jitter: bell(ms(25)),
            loss: PartsPerMillion(3_000),
            bottleneck: Some(Bottleneck { bits_per_second: 8_000_000, queue_max: ms(300) }),
            ..IDLE
        },
        drift_ppm: 0,
    },
    Network {
        name: "loss-5",
        description: "30 ms, 5 % loss at random",
        link: Config { delay: ms(30), loss: PartsPerMillion::percent(5), ..IDLE },
        drift_ppm: 0,
    },
    Network {
        name: "loss-20",
        description: "30 ms, 20 % loss at random",
        link: Config { delay: ms(30), loss: PartsPerMillion::percent(20), ..IDLE },
        drift_ppm: 0,
    },
    Network {
        name: "burst",
        description: "30 ms, 5.7 % loss in bursts of 4 on average (Gilbert-Elliott)",
        link: Config {
            delay: ms(30),
            bursts: Some(GilbertElliott {
                worsen: PartsPerMillion(15_000),
                recover: PartsPerMillion(250_000),
                loss_good: PartsPerMillion(0),
                loss_bad: PartsPerMillion::ONE,
            }),
            ..IDLE
        },
        drift_ppm: 0,
    },
    Network {
        name: "jitter-40",
        description: "60 ms \u{b1} 40 ms evenly, in order",
        link: Config { delay: ms(60), jitter: uniform(ms(40)), ..IDLE },
        drift_ppm: 0,
    },
    Network {
        name: "reorder",
        description: "30 ms, 10 % held back by 25 to 65 ms, so that later packets overtake them",
        link: Config {
            delay: ms(30),
            reordering: Some(Reordering {
                share: PartsPerMillion::percent(10),
                hold_min: ms(25),
                hold_max: ms(65),
            }),
            ..IDLE
        },
        drift_ppm: 0,
    },
    Network {
        name: "duplicate",
        description: "30 ms, 5 % arrive a second time 1 ms later",
        link: Config {
            delay: ms(30),
            duplication: Some(Duplication { share: PartsPerMillion::percent(5), lag: ms(1) }),
            ..IDLE
        },
        drift_ppm: 0,
    },
    Network {
        name: "bottleneck-64k",
        description: "30 ms, 64 kbit/s (with IP and UDP headers) and a queue of 400 ms",
        link: Config {
            delay: ms(30),
            bottleneck: Some(Bottleneck { bits_per_second: 64_000, queue_max: ms(400) }),
            ..IDLE
        },
        drift_ppm: 0,
    },
    Network {
        name: "bottleneck-300k",
        description: "30 ms, 300 kbit/s (with IP and UDP headers) and a queue of 400 ms",
        link: Config {
            delay: ms(30),
            bottleneck: Some(Bottleneck { bits_per_second: 300_000, queue_max: ms(400) }),
            ..IDLE
        },
        drift_ppm: 0,
    },
    Network {
        name: "outage-2s",
        description: "30 ms, nothing passes from second 2 to second 4",
        link: Config {
            delay: ms(30),
            outage: Some(Outage { start: ms(2_000), length: ms(2_000) }),
            ..IDLE
        },
        drift_ppm: 0,
    },
    Network {
        name: "drift-plus-200ppm",
        description: "30 ms, the sender's clock is fast by 200 parts per million",
        link: Config { delay: ms(30), ..IDLE },
        drift_ppm: 200,
    },
    Network {
        name: "drift-minus-200ppm",
        description: "30 ms, the sender's clock is slow by 200 parts per million",
        link: Config { delay: ms(30), ..IDLE },
        drift_ppm: -200,
    },
];

/// The network called `name`.
///
/// # Errors
/// There is none; the error names the nearest one.
pub fn find(name: &str) -> Result<&'static Network, UnknownNetwork> {
    NETWORKS.iter().find(|network| network.name == name).ok_or_else(|| UnknownNetwork {
        name: name.to_owned(),
        nearest: nearest(name, NETWORKS.iter().map(|network| network.name)),
    })
}

impl Network {
    /// Whether it carries less than a call with pictures usually has.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.link.bottleneck.is_some_and(|bottleneck| bottleneck.bits_per_second < 1_000_000)
    }

    /// Its parameters by name, with their units, for reports. Only those that do something.
    #[must_use]
    pub fn parameters(&self) -> BTreeMap<String, String> {
        let millis = |length: Duration| format!("{} ms", length.as_secs_f64() * 1e3);
        let share = |share: PartsPerMillion| format!("{} %", f64::from(share.0) / 1e4);
        let link = &self.link;
        let mut list: Vec<(&str, String)> = Vec::new();
        if link.delay > Duration::ZERO {
            list.push(("delay", millis(link.delay)));
        }
        if link.jitter.spread > Duration::ZERO {
            let shape = match link.jitter.shape {
                Shape::Uniform => "evenly",
                Shape::Bell => "bell-shaped",
            };
            list.push(("jitter", format!("\u{b1} {} {shape}", millis(link.jitter.spread))));
        }
        if link.loss > PartsPerMillion(0) {
            list.push(("loss", share(link.loss)));
        }
        if let Some(bursts) = link.bursts {
            list.push(("from good to bad", share(bursts.worsen)));
            list.push(("from bad to good", share(bursts.recover)));
            list.push(("loss while good", share(bursts.loss_good)));
            list.push(("loss while bad", share(bursts.loss_bad)));
        }
        if let Some(bottleneck) = link.bottleneck {
            list.push(("rate", format!("{} bit/s", bottleneck.bits_per_second)));
            list.push(("queue", millis(bottleneck.queue_max)));
        }
        if let Some(reordering) = link.reordering {
            let (least, most) = (millis(reordering.hold_min), millis(reordering.hold_max));
            list.push(("held back", share(reordering.share)));
            list.push(("for", format!("{least} to {most}")));
        }
        if let Some(duplication) = link.duplication {
            list.push(("duplicated", share(duplication.share)));
            list.push(("copies lag", millis(duplication.lag)));
        }
        if let Some(outage) = link.outage {
            list.push(("outage after", millis(outage.start)));
            list.push(("outage lasts", millis(outage.length)));
        }
        if self.drift_ppm != 0 {
            list.push(("drift of the sender's clock", format!("{:+} ppm", self.drift_ppm)));
        }
        list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The candidate that differs from `word` by the fewest edits, if that is few enough to
/// have been meant.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(edits, candidate)| {
            *edits <= 1 + candidate.len() / 3 || (word.len() >= 3 && candidate.starts_with(word))
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in characters.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, to) in right.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

const IDLE: Config = Config {
    delay: Duration::ZERO,
    jitter: uniform(Duration::ZERO),
    loss: PartsPerMillion(0),
    bursts: None,
    bottleneck: None,
    reordering: None,
    duplication: None,
    outage: None,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn uniform(spread: Duration) -> Jitter {
    Jitter { spread, shape: Shape::Uniform, overtaking: false }
}

const fn bell(spread: Duration) -> Jitter {
    Jitter { spread, shape: Shape::Bell, overtaking: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Link;
    use crate::seed::Seed;

    #[test]
    fn every_preset_makes_a_link_and_has_its_own_name() {
        for network in &NETWORKS {
            assert!(Link::new(network.link, Seed::new(1)).is_ok(), "{}", network.name);
            let same = NETWORKS.iter().filter(|other| other.name == network.name).count();
            assert_eq!(same, 1, "{}", network.name);
        }
    }

    #[test]
    fn only_the_clean_network_has_nothing_to_say_of_itself() {
        for network in &NETWORKS {
            assert_eq!(network.parameters().is_empty(), network.name == "clean");
        }
        assert_eq!(find("loss-5").expect("a preset").parameters()["loss"], "5 %");
    }

    #[test]
    fn a_misspelt_preset_is_answered_with_the_one_that_was_meant() {
        let error = find("los-5").expect_err("misspelt");
        assert_eq!(
            error.to_string(),
            "there is no network preset \"los-5\" (did you mean \"loss-5\"?); \
             `callrig list` shows all of them"
        );
        assert_eq!(find("bottleneck").expect_err("cut short").nearest, Some("bottleneck-64k"));
        assert_eq!(find("carrier-pigeon").expect_err("foreign").nearest, None);
    }
}
