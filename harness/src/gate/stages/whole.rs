//! A whole call in simulated time: signaling, links, relay and the bot's session.

use std::hint::black_box;

use bytes::Bytes;

use super::Work;
use crate::network;
use crate::schedule::{Numbering, Schedule};
use crate::seed::Seed;
use crate::stage::{self, Stage};
use crate::subject::{About, Subject, offer};

/// A second of packets as Opus has them.
fn sound() -> Subject {
    let packets = (0..50_u8).map(|index| {
        let mut payload = vec![0x78; 80];
        payload[1] = index;
        (Bytes::from(payload), 960)
    });
    let numbering = Numbering::default();
    let schedule = Schedule::of_opus(packets, numbering).expect("a second is not too long");
    let media = vec![offer::opus_line(numbering, false)];
    Subject { media, schedule, ..Subject::bare(&About::default(), "audio") }
}

pub(super) fn call() -> Work {
    let subject = sound();
    let clean = network::find("clean").expect("a preset");
    Box::new(move |units| {
        for _ in 0..units {
            let performance = stage::perform(&subject, clean, Stage::Relay, Seed::new(1))
                .expect("the stage can be built");
            black_box(&performance);
        }
    })
}
