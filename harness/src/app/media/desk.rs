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
use callrig_media::rtcp::{Application, View};
use callrig_media::rtp::{Demultiplexed, Packet, demultiplex};
use callrig_media::session::Session;
use callrig_media::stats::Stats;
use callrig_media::time::Instant;
use tokio::sync::Notify;

use super::lane::Lane;
use super::sound::{
    self, Encoded, FRAME_SAMPLES, HEARD_MAX, SAID_MAX, Said, SoundSocket, SpeakerSocket, Spoken,
};
use super::status::{Quality, STATUS_MAX, Status, StatusSocket};
use super::video::{self, Shown, VideoSocket};
use super::{Lines, Media};

/// How often it is said how lines are doing.
const QUALITY_EVERY: Duration = Duration::from_secs(1);
/// Later than this, frames of sound are left out instead of being sent in a burst.
const BEHIND_MAX: Duration = Duration::from_millis(200);
/// How many sources are told apart at once.
const SOURCES_MAX: usize = 32;

/// The desk of a call.
pub(crate) struct Desk {
    sound: Arc<sound::Shared>,
    /// By line, counted from 1.
    videos: Vec<Arc<video::Shared>>,
    /// By video: a timestamp, and the moment at which what has it leaves.
    paces: Vec<Option<(u32, Instant)>>,
    status: Arc<Lane<Status>>,
    pub(super) work: Arc<Notify>,
    /// The speakers who are heard apart, and the line of the first.
    speakers: Vec<Arc<Lane<Spoken>>>,
    first_speaker: usize,
    /// Which line a source sends on, and who contributes most to it.
    sources: BTreeMap<u32, (usize, Option<u32>)>,
    /// When the next 20 ms leave; none before media flows.
    tick: Option<Instant>,
    quality: Option<Instant>,
    counted: BTreeMap<usize, (u64, u64)>,
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
    let speakers: Vec<_> = (0..lines.speakers).map(|_| Arc::new(Lane::new(HEARD_MAX))).collect();
    let media = Media {
        sound: SoundSocket::new(Arc::clone(&sound)),
        videos: sockets,
        screen,
        speakers: speakers.iter().map(|lane| SpeakerSocket { lane: Arc::clone(lane) }).collect(),
        status: StatusSocket::new(Arc::clone(&status)),
    };
    let desk = Desk {
        sound,
        paces: vec![None; videos.len()],
        videos,
        status,
        work,
        speakers,
        first_speaker: lines.first_speaker(),
        sources: BTreeMap::new(),
        tick: None,
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
                let line = self.sources.get(&frame.ssrc).map_or(1, |(line, _)| *line);
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
                if known < SOURCES_MAX && !self.sources.contains_key(&source) {
                    self.sources.insert(source, (line, None));
                    self.say(Status::Began { line, source });
                }
            }
            Event::Contributors { ssrc, csrcs } => self.name(ssrc, csrcs.first().copied()),
            Event::StreamEnded { ssrc, reason } => {
                if let Some((line, _)) = self.sources.remove(&ssrc) {
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

    /// Somebody else contributes most to a source, or nobody does.
    fn name(&mut self, ssrc: u32, who: Option<u32>) {
        let Some((line, named)) = self.sources.get_mut(&ssrc) else { return };
        // Who spoke last counts as the speaker until somebody else does.
        let Some(who) = who.filter(|who| *named != Some(*who)) else { return };
        *named = Some(who);
        match *line {
            0 => self.say(Status::Speaker { source: who }),
            line if line < self.first_speaker => self.say(Status::Shown { line, source: who }),
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
        if self.sources.get(&header.ssrc).is_some_and(|(line, _)| *line == 0) {
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
        let (line, source) = self.sources.get(&audio.ssrc).copied().unwrap_or_default();
        if let Some(speaker) = line.checked_sub(self.first_speaker) {
            let Some(lane) = self.speakers.get(speaker) else { return };
            if lane.offer(Spoken { source, audio }) {
                let all = lane.dropped();
                self.say(Status::Dropped { line, all });
            }
            return;
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
                for (source, _) in self.sources.iter().filter(|(_, (on, _))| *on == line) {
                    let _ = session.request_key_frame(now, *source);
                }
            }
        }
        let is_due = self.quality.is_some_and(|at| at <= now);
        for (video, line) in self.videos.iter().zip(1..) {
            let (anew, wanted) = (
                video.wants_anew.swap(false, Ordering::Acquire),
                video.wanted.load(Ordering::Relaxed),
            );
            // What is asked for may be lost: it is asked for again as long as it is wanted.
            if anew || is_due && wanted != 0 {
                moved = true;
                let lines_max = Some((wanted >> 32) as u32).filter(|lines| *lines > 0);
                let view = View { media: line, source: wanted as u32, lines_max };
                let _ = session.send_application(now, Application::view(view));
            }
        }
        if is_due {
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
        for line in 0..self.first_speaker + self.speakers.len() {
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
        for speaker in &self.speakers {
            speaker.close();
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
}
