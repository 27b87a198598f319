//! A leg's packets in the clear, as they pass, for whoever wants a recording of them. The
//! thread of the leg hands them over and never waits: who is too slow gets no more, and his
//! file says so by not ending.

use core::time::Duration;

use bytes::Bytes;
use callrig_corpora::format::pcapng::{Layout, Writer};
use callrig_media::datagram::Datagram;
use callrig_media::time::Instant;
use serde::Deserialize;
use tokio::sync::mpsc;

/// How many datagrams may wait to be written.
const WAITING_MAX: usize = 4_096;
/// How much is recorded at once.
pub const BYTES_MAX: usize = 256 << 20;
/// How long, unless something else is asked for, and at most.
pub const TIME: Duration = Duration::from_secs(10);
/// See [`TIME`].
pub const TIME_MAX: Duration = Duration::from_secs(3_600);

/// Which way packets go, from the platform's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// What the peer sends.
    #[default]
    In,
    /// What the platform sends to it.
    Out,
    /// Both.
    Both,
}

impl Way {
    const fn takes(self, outgoing: bool) -> bool {
        match self {
            Self::In => !outgoing,
            Self::Out => outgoing,
            Self::Both => true,
        }
    }
}

/// What passed.
#[derive(Debug)]
pub struct Passed {
    at: Instant,
    datagram: Datagram,
}

/// The end of a capture that the leg's thread holds.
#[derive(Debug)]
pub struct Tap {
    way: Way,
    sender: mpsc::Sender<Result<Passed, Overrun>>,
}

/// Packets came faster than they were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packets came faster than they were taken")]
pub struct Overrun;

/// The other end: whoever writes.
#[derive(Debug)]
pub struct Capture {
    receiver: mpsc::Receiver<Result<Passed, Overrun>>,
    writer: Writer<Vec<u8>>,
    written: usize,
}

/// Both ends.
///
/// # Panics
/// Never: what is written to is memory.
#[must_use]
pub fn capture(way: Way) -> (Tap, Capture) {
    // One place is kept for the word that it was too much.
    let (sender, receiver) = mpsc::channel(WAITING_MAX + 1);
    let writer = Writer::new(Vec::new(), Layout::default()).expect("memory takes what it is given");
    (Tap { way, sender }, Capture { receiver, writer, written: 0 })
}

impl Tap {
    /// Hands over what passes; whether anybody takes more.
    pub fn pass(&self, at: Instant, outgoing: bool, datagram: &Datagram) -> bool {
        if !self.way.takes(outgoing) {
            return !self.sender.is_closed();
        }
        if self.sender.capacity() <= 1 {
            // Nobody may be there any more to be told.
            let _ = self.sender.try_send(Err(Overrun));
            return false;
        }
        self.sender.try_send(Ok(Passed { at, datagram: datagram.clone() })).is_ok()
    }
}

impl Capture {
    /// The next piece of the file, which is one whole pcapng; none at its end. `epoch` is when
    /// the clock of what passes began, in nanoseconds since 1970.
    ///
    /// # Errors
    /// There were more packets than were taken.
    pub async fn next(&mut self, epoch: u64) -> Option<Result<Bytes, Overrun>> {
        let mut passed = self.receiver.recv().await?;
        loop {
            let Passed { at, datagram } = match passed {
                Ok(passed) => passed,
                Err(error) => return Some(Err(error)),
            };
            let Datagram { source, destination, payload } = datagram;
            let at = epoch + at.as_nanos();
            // Addresses of two kinds in one datagram cannot be written, and do not come.
            let _ = self.writer.write_datagram(at, source, destination, &payload, 0, None);
            match self.receiver.try_recv() {
                Ok(next) => passed = next,
                Err(_) => break,
            }
        }
        let piece = self.take();
        if self.written > BYTES_MAX {
            self.receiver.close();
        }
        Some(Ok(piece))
    }

    /// What was written and not taken.
    pub fn take(&mut self) -> Bytes {
        let piece = core::mem::take(self.writer.get_mut());
        self.written += piece.len();
        piece.into()
    }

    /// Nothing more is wanted; what has passed already still comes.
    pub fn stop(&mut self) {
        self.receiver.close();
    }
}

#[cfg(test)]
mod tests {
    use callrig_corpora::{Opened, open_bytes};

    use super::*;

    fn datagram(byte: u8) -> Datagram {
        let address = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        Datagram {
            source: address(1),
            destination: address(2),
            payload: Bytes::from(vec![byte; 40]),
        }
    }

    #[tokio::test]
    async fn what_passes_one_way_becomes_a_capture() {
        let (tap, mut capture) = capture(Way::In);
        let mut file = capture.take().to_vec();
        for index in 0..5 {
            assert!(tap.pass(
                Instant::from_millis(20 * index),
                index % 2 == 1,
                &datagram(index as u8)
            ));
        }
        drop(tap);
        while let Some(piece) = capture.next(1_000_000_000_000).await {
            file.extend(piece.expect("it is not too much"));
        }
        let Ok(Opened::Recording(recording)) = open_bytes("x.pcapng", file.into()) else {
            panic!("it is a capture")
        };
        assert_eq!(recording.arrivals.len(), 3);
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_and_gets_no_more() {
        let (tap, mut capture) = capture(Way::Both);
        let taken = (0..).take_while(|_| tap.pass(Instant::ZERO, true, &datagram(1))).count();
        assert_eq!(taken, WAITING_MAX);
        assert_eq!(capture.next(0).await, Some(Err(Overrun)));
    }
}
