//! Media as it crossed, decrypted: what goes into a file beside the report, for Wireshark and
//! whoever doubts a verdict, and into the text of a finding.

use core::time::Duration;

use callrig_corpora::format::pcapng::{Layout, Writer};
use callrig_media::datagram::Datagram;
use callrig_media::rtcp;
use callrig_media::rtp::Packet;
use callrig_media::time::{Epoch, Instant};

/// How much of a script's media is kept.
const BYTES_MAX: usize = 4 << 20;
/// How long before a moment packets are told, and how many at most.
const BEFORE: (Duration, usize) = (Duration::from_millis(250), 6);
/// The same after it.
const AFTER: (Duration, usize) = (Duration::from_millis(150), 3);

/// Between whom something passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the bot to the platform.
    FromBot,
    /// From the platform to the bot.
    ToBot,
    /// Between the platform and somebody's telephone.
    Telephone,
}

/// A datagram with RTP or RTCP.
#[derive(Clone, Debug)]
pub struct Passed {
    /// When.
    pub at: Instant,
    /// Between whom.
    pub way: Way,
    /// In the clear.
    pub datagram: Datagram,
}

/// What passed while a script was played.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    list: Vec<Passed>,
    bytes: usize,
    left_out: usize,
    epoch: Epoch,
}

impl Capture {
    /// Nothing yet; its clock shows this at the beginning.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// Keeps a datagram, if there is room.
    pub fn keep(&mut self, at: Instant, way: Way, datagram: &Datagram) {
        let size = datagram.payload.len();
        if self.bytes + size > BYTES_MAX {
            self.left_out += 1;
            return;
        }
        self.bytes += size;
        self.list.push(Passed { at, way, datagram: datagram.clone() });
    }

    /// How many datagrams are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing passed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many found no room.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// What passed between these, in order.
    pub fn passed(&self, way: Way) -> impl Iterator<Item = &Passed> {
        self.list.iter().filter(move |passed| passed.way == way)
    }

    /// As a file.
    ///
    /// # Panics
    /// Never: what is written to is memory.
    #[must_use]
    pub fn pcapng(&self) -> Vec<u8> {
        let writer = Writer::new(Vec::new(), Layout::default());
        let mut writer = writer.expect("memory takes what it is given");
        for Passed { at, datagram, .. } in &self.list {
            let at = self.epoch.ntp_at(*at).since_unix().as_nanos() as u64;
            let Datagram { source, destination, payload } = datagram;
            // Addresses of two kinds in one datagram cannot be written, and do not come.
            let _ = writer.write_datagram(at, *source, *destination, payload, 0, None);
        }
        core::mem::take(writer.get_mut())
    }

    /// What passed between bot and platform around a moment, a line each.
    #[must_use]
    pub fn around(&self, at: Instant) -> Vec<(Instant, String)> {
        let near = |passed: &&Passed| {
            passed.way != Way::Telephone && passed.at + BEFORE.0 >= at && passed.at <= at + AFTER.0
        };
        let (before, after): (Vec<_>, Vec<_>) =
            self.list.iter().filter(near).partition(|passed| passed.at <= at);
        let skipped = before.len().saturating_sub(BEFORE.1);
        let told = before.into_iter().skip(skipped).chain(after.into_iter().take(AFTER.1));
        told.map(|passed| (passed.at, passed.words())).collect()
    }
}

impl Passed {
    fn words(&self) -> String {
        let way = if self.way == Way::FromBot { "bot > platform" } else { "platform > bot" };
        format!("{way}  {}", packet(&self.datagram))
    }
}

/// A packet of media, in words.
fn packet(datagram: &Datagram) -> String {
    let payload = &datagram.payload;
    let size = payload.len();
    // RFC 5761 section 4: what tells RTCP from RTP on one port.
    if payload.get(1).is_some_and(|kind| (192..=223).contains(kind)) {
        return match rtcp::parse(payload, rtcp::Rules::ReducedSize) {
            Ok(packets) => {
                let names: Vec<&str> = packets.iter().map(rtcp::Packet::name).collect();
                format!("RTCP {}, {size} bytes", names.join(" + "))
            }
            Err(error) => format!("RTCP that cannot be: {error}, {size} bytes"),
        };
    }
    match Packet::parse(payload.clone()) {
        Ok(Packet { header, .. }) => format!(
            "RTP ssrc {:#010x} seq {} ts {} pt {}{}, {size} bytes",
            header.ssrc,
            header.sequence_number,
            header.timestamp,
            header.payload_type,
            if header.marker { " marker" } else { "" },
        ),
        Err(error) => format!("no RTP: {error}, {size} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use callrig_corpora::{Opened, open_bytes};

    use super::*;

    fn datagram(payload: Vec<u8>) -> Datagram {
        let address = |port| std::net::SocketAddr::from(([198, 18, 0, 1], port));
        Datagram { source: address(1), destination: address(2), payload: Bytes::from(payload) }
    }

    fn rtp(sequence: u8) -> Vec<u8> {
        let mut packet = vec![0x80, 0, 0, sequence, 0, 0, 0, 160, 0, 0, 0, 7];
        packet.extend([0xd5; 160]);
        packet
    }

    #[test]
    fn what_passed_is_a_capture_that_can_be_opened() {
        let mut capture = Capture::new(Epoch::default());
        for index in 0..50 {
            let at = Instant::from_millis(20 * u64::from(index));
            capture.keep(at, Way::FromBot, &datagram(rtp(index)));
        }
        let opened = open_bytes("x.pcapng", capture.pcapng().into());
        let Ok(Opened::Recording(recording)) = opened else { panic!("{opened:?}") };
        assert_eq!(recording.arrivals.len(), 50);
    }

    #[test]
    fn packets_around_a_moment_are_told_and_bounded() {
        let mut capture = Capture::new(Epoch::default());
        for index in 0..50 {
            let at = Instant::from_millis(20 * u64::from(index));
            capture.keep(at, Way::FromBot, &datagram(rtp(index)));
            capture.keep(at, Way::Telephone, &datagram(rtp(index)));
        }
        let told = capture.around(Instant::from_millis(500));
        assert_eq!(told.len(), BEFORE.1 + AFTER.1, "{told:?}");
        let (at, words) = &told[BEFORE.1 - 1];
        assert_eq!(*at, Instant::from_millis(500));
        assert_eq!(words, "bot > platform  RTP ssrc 0x00000007 seq 25 ts 160 pt 0, 172 bytes");
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut capture = Capture::new(Epoch::default());
        for _ in 0..5 {
            capture.keep(Instant::ZERO, Way::ToBot, &datagram(vec![0; 1 << 20]));
        }
        assert_eq!((capture.len(), capture.left_out()), (4, 1));
    }
}
