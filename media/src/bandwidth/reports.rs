//! What a path carries where nobody tells when packets arrive: what the receiver thinks
//! (draft-alvestrand-rmcat-remb-03), and how much it misses (the loss of its reports, by the
//! rules of draft-ietf-rmcat-gcc-02 section 6). The lesser of the two counts.

use super::Config;

/// What the peer has said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported {
    config: Config,
    receiver: Option<u64>,
    by_loss: Option<f64>,
    /// So much was missed that it counts beside what the receiver thinks.
    lossy: bool,
}

impl Reported {
    pub(crate) const fn new(config: Config) -> Self {
        Self { config, receiver: None, by_loss: None, lossy: false }
    }

    /// The receiver thinks that so much arrives, or could.
    pub(crate) const fn receiver(&mut self, bits: u64) {
        self.receiver = Some(bits);
    }

    /// Whether the receiver has said what it thinks.
    pub(crate) const fn has_receiver(&self) -> bool {
        self.receiver.is_some()
    }

    /// The receiver missed this share while so many bits per second were sent.
    pub(crate) fn lost(&mut self, share: f64, sent: u64) {
        let sent = sent as f64;
        let before = self.by_loss.unwrap_or(sent);
        let now = if share > 0.10 {
            before.min(sent) * (1.0 - 0.5 * share)
        } else if share < 0.02 {
            // What is not sent is not tried, and what is not missed is carried.
            (before * 1.08 + 1_000.0).min(1.5 * sent + 10_000.0).max(sent)
        } else {
            before
        };
        self.by_loss = Some(now.clamp(self.config.min as f64, self.config.max as f64));
        let above = self.receiver.is_some_and(|receiver| now >= receiver as f64);
        self.lossy = share > 0.10 || self.lossy && !above;
    }

    /// Bits per second, once anything was said.
    pub(crate) fn estimate(&self) -> Option<u64> {
        let by_loss = self.by_loss.map(|bits| bits as u64);
        let least = match (self.receiver, by_loss) {
            (Some(receiver), Some(by_loss)) if self.lossy => receiver.min(by_loss),
            (Some(receiver), _) => receiver,
            (None, by_loss) => by_loss?,
        };
        Some(least.clamp(self.config.min, self.config.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_takes_it_below_what_was_sent_and_its_end_lets_it_grow() {
        let mut reported = Reported::new(Config::default());
        assert_eq!((reported.estimate(), reported.has_receiver()), (None, false));
        reported.lost(0.0, 500_000);
        assert_eq!(reported.estimate(), Some(541_000));
        reported.lost(0.2, 500_000);
        assert_eq!(reported.estimate(), Some(450_000));
        reported.lost(0.05, 400_000);
        assert_eq!(reported.estimate(), Some(450_000), "radio loses without being full");
        reported.receiver(200_000);
        assert_eq!(reported.estimate(), Some(200_000));
        reported.lost(0.0, 200_000);
        reported.receiver(900_000);
        assert_eq!(reported.estimate(), Some(900_000), "what was not missed is no limit beside it");
        reported.lost(0.5, 200_000);
        assert_eq!(reported.estimate(), Some(150_000));
        reported.receiver(0);
        assert_eq!(reported.estimate(), Some(Config::default().min));
    }
}
