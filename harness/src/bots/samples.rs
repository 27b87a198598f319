//! Bots written with [`crate::app`] alone, each in a file that one can read: the
//! documentation of the SDK, and the bots that every case of `callrig validate` must find
//! in order. The same source runs in real time (`callrig bot NAME`) and in a simulated
//! world.

mod colours;
mod doorman;
mod echo;
mod gallery;
mod group;
mod incident;
mod ivr;
mod meeting;
mod operator;
mod playback;
mod policy;
mod recorder;
mod reminder;
mod sounds;

use crate::app::hosted::Program;

/// A sample.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it does, in a line.
    pub title: &'static str,
    /// What it runs.
    pub program: Program,
    /// Its profile: the ready one of this name.
    pub profile: &'static str,
}

/// All of them.
pub const ALL: &[Sample] = &[
    Sample {
        name: "ivr",
        title: "a voice menu: plays, listens to keys, transfers",
        program: ivr::program,
        profile: "ivr",
    },
    Sample {
        name: "recorder",
        title: "records the caller, fetches the recording and plays it back",
        program: recorder::program,
        profile: "recorder",
    },
    Sample {
        name: "reminder",
        title: "calls a person when it is asked to, speaks, hangs up",
        program: reminder::program,
        profile: "reminder",
    },
    Sample {
        name: "group",
        title: "calls several people together when it is asked to",
        program: group::program,
        profile: "group",
    },
    Sample {
        name: "incident",
        title: "greets, and asks the one on duty into the call",
        program: incident::program,
        profile: "incident",
    },
    Sample {
        name: "policy",
        title: "records by policy: says so, and stays",
        program: policy::program,
        profile: "policy",
    },
    Sample {
        name: "operator",
        title: "sends every caller elsewhere",
        program: operator::program,
        profile: "operator",
    },
    Sample {
        name: "doorman",
        title: "rejects every call",
        program: doorman::program,
        profile: "doorman",
    },
    Sample {
        name: "echo",
        title: "sends back what is said and shown: its media is its own",
        program: echo::program,
        profile: "echo",
    },
    Sample {
        name: "playback",
        title: "plays a film with its sound, and another as a shared screen",
        program: playback::program,
        profile: "playback",
    },
    Sample {
        name: "colours",
        title: "sends the caller's video back in other colours",
        program: colours::program,
        profile: "colours",
    },
    Sample {
        name: "meeting",
        title: "joins a meeting when it is asked to, and greets",
        program: meeting::program,
        profile: "meeting",
    },
    Sample {
        name: "gallery",
        title: "joins a meeting with media of its own, and watches the large gallery",
        program: gallery::program,
        profile: "gallery",
    },
];

/// The sample of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Sample> {
    ALL.iter().find(|sample| sample.name == name)
}
