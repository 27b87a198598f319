//! A worker seen from the gate: a process that is told what to do, and may hang, lie or die.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use callrig_reports::Environment;
use thiserror::Error;

use super::worker::{Ask, Injection, LINE_BYTES_MAX, PROTOCOL, Reply};

/// How long a worker may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long it may take to say who it is.
const HELLO_MAX: Duration = Duration::from_secs(15);

/// Why a worker is of no use.
#[derive(Debug, Error)]
pub enum ArmError {
    /// It cannot be started.
    #[error("cannot start {binary}: {source}")]
    Start {
        /// Which.
        binary: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended, or closed its output.
    #[error("{0} ended in the middle of its work, or is no callrig that knows `worker`")]
    Ended(String),
    /// It says nothing.
    #[error("{0} did not answer within {1:?}")]
    Silent(String, Duration),
    /// It says something else.
    #[error("{binary} answered {answer:?}, which is not what it was asked")]
    Strange {
        /// Which.
        binary: String,
        /// What it said, cut.
        answer: String,
    },
    /// It speaks another version.
    #[error("{binary} speaks version {version} of the worker's words, this callrig {PROTOCOL}")]
    Version {
        /// Which.
        binary: String,
        /// Its version.
        version: u32,
    },
    /// It refused.
    #[error("{binary}: {why}")]
    Refused {
        /// Which.
        binary: String,
        /// Why.
        why: String,
    },
}

/// A worker.
pub struct Arm {
    name: String,
    child: Child,
    asks: Option<ChildStdin>,
    replies: Receiver<String>,
    /// What it says of itself.
    pub environment: Environment,
    /// What it can do.
    pub stages: Vec<String>,
}

impl Arm {
    /// Starts a worker.
    ///
    /// # Errors
    /// It cannot be started, or is no worker.
    pub fn start(binary: &Path) -> Result<Self, ArmError> {
        let name = binary.display().to_string();
        let mut child = Command::new(binary)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| ArmError::Start { binary: name.clone(), source })?;
        let (sender, replies) = channel();
        let asks = child.stdin.take();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(out);
                loop {
                    let mut line = String::new();
                    let read = (&mut lines).take(LINE_BYTES_MAX).read_line(&mut line);
                    // What is not text, or ends, ends the conversation.
                    if !matches!(read, Ok(1..)) || sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let mut arm = Self {
            name,
            child,
            asks,
            replies,
            environment: Environment::default(),
            stages: Vec::new(),
        };
        match arm.reply(HELLO_MAX)? {
            Reply::Hello { protocol: PROTOCOL, environment, stages } => {
                arm.environment = environment;
                arm.stages = stages;
                Ok(arm)
            }
            Reply::Hello { protocol, .. } => {
                Err(ArmError::Version { binary: arm.name.clone(), version: protocol })
            }
            other => Err(arm.strange(&format!("{other:?}"))),
        }
    }

    fn strange(&self, answer: &str) -> ArmError {
        let answer = answer.chars().take(200).collect();
        ArmError::Strange { binary: self.name.clone(), answer }
    }

    fn reply(&self, within: Duration) -> Result<Reply, ArmError> {
        let line = self.replies.recv_timeout(within).map_err(|error| match error {
            RecvTimeoutError::Timeout => ArmError::Silent(self.name.clone(), within),
            RecvTimeoutError::Disconnected => ArmError::Ended(self.name.clone()),
        })?;
        serde_json::from_str(&line).map_err(|_| self.strange(line.trim_end()))
    }

    fn ask(&mut self, ask: &Ask) -> Result<Reply, ArmError> {
        let mut line = serde_json::to_vec(ask).expect("words serialize");
        line.push(b'\n');
        let ended = || ArmError::Ended(self.name.clone());
        let asks = self.asks.as_mut().ok_or_else(ended)?;
        asks.write_all(&line).and_then(|()| asks.flush()).map_err(|_| ended())?;
        match self.reply(ANSWER_MAX)? {
            Reply::Refused { why } => Err(ArmError::Refused { binary: self.name.clone(), why }),
            reply => Ok(reply),
        }
    }

    /// How many nanoseconds so many units take.
    ///
    /// # Errors
    /// It does not say.
    pub fn time(
        &mut self,
        stage: &str,
        units: u32,
        inject: Option<Injection>,
    ) -> Result<u64, ArmError> {
        match self.ask(&Ask::Time { stage: stage.to_owned(), units, inject })? {
            Reply::Took { nanos } => Ok(nanos),
            other => Err(self.strange(&format!("{other:?}"))),
        }
    }

    /// How many bytes more are held after so many units, of each of which `keep` are kept.
    ///
    /// # Errors
    /// It does not say.
    pub fn held(
        &mut self,
        stage: &str,
        units: u32,
        keep: usize,
        inject: Option<Injection>,
    ) -> Result<f64, ArmError> {
        let ask = Ask::Held { stage: stage.to_owned(), units, keep, inject };
        match self.ask(&ask)? {
            Reply::Held { before, after } => Ok(after as f64 - before as f64),
            other => Err(self.strange(&format!("{other:?}"))),
        }
    }
}

impl Drop for Arm {
    fn drop(&mut self) {
        // Closing its input ends a worker that works; the others are ended.
        drop(self.asks.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
