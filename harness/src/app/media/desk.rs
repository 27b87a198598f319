//! Between the sockets of a call and its session: hands on what comes, sends what is to be
//! sent at its time. It is told the time and touches nothing outside, so that it works the same
//! in virtual time.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use callrig_media::audio::{Audio, FRAME};
use callrig_media::description::Codec;
use callrig_media::event::{Event, TransportEvent};
use callrig_media::rtp::{Demultiplexed, Packet, demultiplex};
use callrig_media::session::Session;
use callrig_media::stats::Stats;
use callrig_media::time::Instant;
use tokio::sync::Notify;

use super::lane::Lane;
use super::sound::{self, Encoded, FRAME_SAMPLES, HEARD_MAX, SAID_MAX, Said, SoundSocket};
use super::status::{Quality, STATUS_MAX, Status, StatusSocket};
use super::video::{self, Shown, VideoSocket};
use super::{Lines, Media};

/// How often it is said how lines are doing.
const QUALITY_EVERY: Duration = Duration::from_secs(1);
/// Later than this, frames of sound are left out instead of being sent in a burst.
const BEHIND_MAX: Duration = Duration::from_millis(200);
/// Who speaks loudest is found out over so many frames: 0.4 s.
const SPEAKER_FRAMES: u32 = 20;
/// How many sources are told apart at once.
const SOURCES_MAX: usize = 32;
/// A source that is quieter than this mean square does not speak: -50 dB.
const SPEAKS_FROM: u64 = 10_737;

/// The desk of a call.
pub(crate) struct Desk {
    sound: Arc<sound::Shared>,
    /// By line, counted from 1.
    videos: Vec<Arc<video::Shared>>,
    /// By video: a timestamp, and the moment at which what has it leaves.
    paces: Vec<Option<(u32, Instant)>>,
    status: Arc<Lane<Status>>,
    pub(super) work: Arc<Notify>,
    /// Which line a source sends on.
    sources: BTreeMap<u32, usize>,
    /// When the next 20 ms leave; none before media flows.
    tick: Option<Instant>,
    speakers: Speakers,
    quality: Option<Instant>,
    counted: BTreeMap<usize, (u64, u64)>,
}

/// Who speaks.
#[derive(Default)]
struct Speakers {
    loudness: BTreeMap<u32, u64>,
    frames: u32,
    loudest: Option<u32>,
}

/// A desk, and the sockets in front of it.
pub(super) fn lay(lines: Lines) -> (Desk, Media) {
    let work = Arc::new(Notify::new());
    let sound = Arc::new(sound::Shared {
        heard: Lane::new(HEARD_MAX),
        packets: Lane::new(HEARD_MAX),
        looks: AtomicBool::new(false),
        said: Lane::new(SAID_MAX),
        work: Arc::clone(&work),
    });
    let count = lines.videos + usize::from(lines.screen);
    let videos: Vec<_> =
        (0..count).map(|_| Arc::new(video::Shared::new(Arc::clone(&work)))).collect();
    let status = Arc::new(Lane::new(STATUS_MAX));
    let mut sockets: Vec<VideoSocket> = videos
        .iter()
        .enumerate()
        .map(|(index, shared)| VideoSocket::new(Arc::clone(shared), index >= lines.videos))
        .collect();
    let screen = if lines.screen { sockets.pop() } else { None };
    let media = Media {
        sound: SoundSocket::new(Arc::clone(&sound)),
        videos: sockets,
        screen,
        status: StatusSocket::new(Arc::clone(&status)),
    };
    let desk = Desk {
        sound,
        paces: vec![None; videos.len()],
        videos,
        status,
        work,
        sources: BTreeMap::new(),
        tick: None,
        speakers: Speakers::default(),
        quality: None,
        counted: BTreeMap::new(),
    };
    (desk, media)
}

impl Desk {
    /// Media flows from now on.
    pub(crate) fn begin(&mut self, now: Instant) {
        if self.tick.is_none() {
            self.tick = Some(now);
            self.quality = Some(now + QUALITY_EVERY);
            self.say(Status::Connected);
        }
    }

    /// Takes in what the session says.
    pub(crate) fn hear(&mut self, session: &Session, event: Event) {
        match event {
            Event::Audio(audio) => self.hear_audio(audio),
            Event::Frame(frame) => {
                let line = self.sources.get(&frame.ssrc).copied().unwrap_or(1);
                let Some(video) = self.video(line) else { return };
                if video.seen.offer(frame) {
                    // What follows refers to what was lost.
                    video.asks.store(true, Ordering::Relaxed);
                    let all = video.seen.dropped();
                    self.say(Status::Dropped { line, all });
                }
            }
            Event::StreamStarted(began) => {
                let (line, source) = (began.media, began.ssrc);
                if matches!(began.codec, Codec::TelephoneEvent { .. }) {
                    return;
                }
                let known = self.sources.len();
                if known < SOURCES_MAX && self.sources.insert(source, line).is_none() {
                    self.say(Status::Began { line, source });
                }
            }
            Event::StreamEnded { ssrc, reason } => {
                if let Some(line) = self.sources.remove(&ssrc) {
                    self.speakers.loudness.remove(&ssrc);
                    self.say(Status::Stopped { line, source: ssrc, reason });
                }
            }
            Event::KeyFrameRequested { ssrc } => {
                let line = (1..=self.videos.len()).find(|line| session.ssrc(*line) == Some(ssrc));
                let Some(line) = line else { return };
                if let Some(video) = self.video(line) {
                    video.asked.store(true, Ordering::Relaxed);
                    video.asking.notify_one();
                }
                self.say(Status::KeyFrameAsked { line });
            }
            Event::Tone(tone) => self.say(Status::Tone(tone.tone)),
            Event::Transport(TransportEvent::Closed { reason }) => self.end(&reason.to_string()),
            _ => {}
        }
    }

    /// A packet on its way to the session: for who wants sound as it came.
    pub(crate) fn look_at(&self, packet: &Bytes) {
        let looks = self.sound.looks.load(Ordering::Relaxed);
        if !looks || demultiplex(packet) != Demultiplexed::Rtp {
            return;
        }
        let Ok(Packet { header, payload }) = Packet::parse(packet.clone()) else { return };
        if self.sources.get(&header.ssrc) == Some(&0) {
            let packet = Encoded {
                source: header.ssrc,
                number: header.sequence_number,
                timestamp: header.timestamp,
                payload_type: header.payload_type,
                payload,
            };
            if self.sound.packets.offer(packet) {
                let all = self.sound.packets.dropped();
                self.say(Status::Dropped { line: 0, all });
            }
        }
    }

    fn video(&self, line: usize) -> Option<&video::Shared> {
        self.videos.get(line.checked_sub(1)?).map(AsRef::as_ref)
    }

    fn hear_audio(&mut self, mut audio: Box<Audio>) {
        if audio.channels == 2 {
            audio.samples = audio.samples.chunks_exact(2).map(middle).collect();
            audio.channels = 1;
        }
        if let Some(source) = self.speakers.hear(audio.ssrc, &audio.samples) {
            self.say(Status::Speaker { source });
        }
        if self.sound.heard.offer(audio) {
            let all = self.sound.heard.dropped();
            self.say(Status::Dropped { line: 0, all });
        }
    }

    /// Sends what is to be sent by now; whether there was anything.
    pub(crate) fn turn(&mut self, now: Instant, session: &mut Session) -> bool {
        let Some(mut tick) = self.tick else { return false };
        let mut moved = false;
        if now.since(tick) > BEHIND_MAX {
            tick = now;
        }
        while tick <= now {
            moved = true;
            self.speak(now, session);
            tick += FRAME;
        }
        self.tick = Some(tick);
        for ((video, pace), line) in self.videos.iter().zip(&mut self.paces).zip(1..) {
            while let Some(due) = video.shown.first(|shown| due(shown, pace, now))
                && due <= now
                && let Some(Shown { data, timestamp, .. }) = video.shown.try_pop()
            {
                moved = true;
                // A line that the other side does not receive takes no pictures.
                let _ = session.send_frame(now, line, &data, timestamp);
            }
            if video.asks.swap(false, Ordering::Relaxed) {
                moved = true;
                for (source, _) in self.sources.iter().filter(|(_, on)| **on == line) {
                    let _ = session.request_key_frame(now, *source);
                }
            }
        }
        if self.quality.is_some_and(|at| at <= now) {
            self.quality = Some(now + QUALITY_EVERY);
            self.tell_quality(&session.stats());
        }
        moved
    }

    /// The next 20 ms of what is to be said, or silence.
    fn speak(&self, now: Instant, session: &mut Session) {
        // A line that the other side does not receive takes no sound.
        let _ = match self.sound.said.try_pop() {
            Some(Said::Frame(samples)) => session.send_audio(now, &samples),
            Some(Said::Encoded(payload, ticks)) => {
                session.send_encoded_audio(now, &payload, ticks, false)
            }
            None => session.send_audio(now, &[0; FRAME_SAMPLES]),
        };
    }

    fn tell_quality(&mut self, stats: &Stats) {
        for line in 0..=self.videos.len() {
            let received: u64 = stats
                .inbound
                .iter()
                .filter(|stream| stream.media == line)
                .map(|stream| stream.source.bytes_received)
                .sum();
            let ours = stats.outbound.iter().find(|stream| stream.media == line);
            let sent = ours.map_or(0, |stream| stream.bytes_sent);
            let before = self.counted.insert(line, (received, sent)).unwrap_or_default();
            let quality = Quality {
                received: received.saturating_sub(before.0) * 8,
                sent: sent.saturating_sub(before.1) * 8,
                lost: ours.and_then(|stream| stream.remote).map(|report| report.fraction_lost),
                round_trip: stats.current_round_trip_time.map(Duration::from_secs_f64),
            };
            self.say(Status::Quality { line, quality });
        }
    }

    /// There is no session to send by, yet or any more: time goes on.
    pub(crate) fn skip(&mut self, now: Instant) {
        if let Some(tick) = self.tick.as_mut().filter(|tick| **tick <= now) {
            *tick = now + FRAME;
        }
        self.paces.fill(None);
    }

    /// When to come back at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let tick = self.tick?;
        let shown = self.videos.iter().zip(&self.paces).filter_map(|(video, pace)| {
            let (timestamp, at) = (*pace)?;
            video.shown.first(|shown| at + after(shown.timestamp, timestamp))
        });
        Some(shown.min().map_or(tick, |at| at.min(tick)))
    }

    /// The media of the call has ended.
    pub(crate) fn end(&mut self, reason: &str) {
        self.tick = None;
        self.say(Status::Ended { reason: reason.to_owned() });
        self.close();
    }

    fn close(&self) {
        self.sound.heard.close();
        self.sound.packets.close();
        self.sound.said.close();
        for video in &self.videos {
            video.close();
        }
        self.status.close();
    }

    /// So many packets in all came faster than they were taken.
    pub(super) fn lost(&self, all: u64) {
        self.say(Status::Overrun { all });
    }

    fn say(&self, status: Status) {
        self.status.offer(status);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.close();
    }
}

impl Speakers {
    /// Takes in what a source says; who is the loudest, if that is another one now.
    fn hear(&mut self, source: u32, samples: &[i16]) -> Option<u32> {
        let energy: u64 = samples.iter().map(|s| u64::from(s.unsigned_abs()).pow(2)).sum();
        if self.loudness.len() < SOURCES_MAX || self.loudness.contains_key(&source) {
            *self.loudness.entry(source).or_insert(0) += energy / samples.len().max(1) as u64;
        }
        self.frames += 1;
        let due = SPEAKER_FRAMES * u32::try_from(self.loudness.len()).unwrap_or(1);
        if self.frames < due {
            return None;
        }
        self.frames = 0;
        let loudest = self.loudness.iter().max_by_key(|(_, loudness)| **loudness);
        let loudest = loudest.map(|(source, loudness)| (*source, *loudness));
        self.loudness.values_mut().for_each(|loudness| *loudness = 0);
        let (source, loudness) = loudest?;
        let speaks = loudness / u64::from(SPEAKER_FRAMES) >= SPEAKS_FROM;
        (speaks && self.loudest.replace(source) != Some(source)).then_some(source)
    }
}

/// When an access unit leaves; the first that is paced sets the pace, and so does one that is
/// too late.
fn due(shown: &Shown, pace: &mut Option<(u32, Instant)>, now: Instant) -> Instant {
    if !shown.paced {
        return now;
    }
    let (timestamp, at) = *pace.get_or_insert((shown.timestamp, now));
    let due = at + after(shown.timestamp, timestamp);
    if now.since(due) > BEHIND_MAX {
        *pace = Some((shown.timestamp, now));
        return now;
    }
    due
}

/// From one timestamp of a video to a later one.
fn after(timestamp: u32, earlier: u32) -> Duration {
    let ticks = u64::from(timestamp.wrapping_sub(earlier));
    Duration::from_nanos(ticks * 1_000_000_000 / 90_000)
}

fn middle(pair: &[i16]) -> i16 {
    let sum = pair.iter().map(|sample| i32::from(*sample)).sum::<i32>();
    (sum / 2) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(timestamp: u32) -> Shown {
        Shown { data: Bytes::new(), timestamp, paced: true }
    }

    #[test]
    fn what_is_played_leaves_when_its_timestamp_says_and_a_late_one_sets_the_pace_anew() {
        let (mut pace, begin) = (None, Instant::from_millis(100));
        assert_eq!(due(&shown(9_000), &mut pace, begin), begin);
        let next = begin + Duration::from_millis(100);
        assert_eq!(due(&shown(18_000), &mut pace, begin), next);
        let late = begin + Duration::from_secs(5);
        assert_eq!(due(&shown(27_000), &mut pace, late), late);
        assert_eq!(due(&shown(36_000), &mut pace, late), late + Duration::from_millis(100));
        let at_once = Shown { paced: false, ..shown(0) };
        assert_eq!(due(&at_once, &mut pace, begin), begin);
    }

    #[test]
    fn whoever_is_loudest_speaks_and_silence_changes_nothing() {
        let (loud, quiet) = ([8_000_i16; FRAME_SAMPLES], [300_i16; FRAME_SAMPLES]);
        let mut speakers = Speakers::default();
        let mut said = Vec::new();
        for frame in 0..200 {
            let (one, other) = if frame < 100 { (&loud, &quiet) } else { (&quiet, &loud) };
            said.extend(speakers.hear(1, one));
            said.extend(speakers.hear(2, other));
        }
        for _ in 0..100 {
            said.extend(speakers.hear(1, &[0; FRAME_SAMPLES]));
            said.extend(speakers.hear(2, &[0; FRAME_SAMPLES]));
        }
        assert_eq!(said, [1, 2]);
    }
}
