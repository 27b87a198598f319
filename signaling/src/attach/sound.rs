//! What a service-hosted leg does with sound, 20 ms at a time: it plays prompts, or
//! announces and makes a recording. Sound is one channel at 16 kHz, as the documentation
//! of media prompts demands of files.

use core::time::Duration;

use callrig_media::audio::Audio;
use callrig_media::dtmf;
use callrig_media::prompt::{self, PlayError, Player, Wav};
use callrig_media::recorder::{self, RecordError, Recorder};
use callrig_media::session::{SendError, Session};
use callrig_media::time::Instant;

use super::Event;

/// Samples per second of prompts and recordings, and of what the platform decodes.
pub(crate) const RATE: u32 = prompt::RATE;

const TICK: Duration = Duration::from_millis(20);

/// What a leg does.
#[derive(Debug)]
enum Task {
    Play(Box<Player>),
    Record(Box<Recorder>),
}

/// What a leg does, and when it goes on.
#[derive(Debug)]
pub(super) struct Doing {
    task: Task,
    next_tick: Instant,
    /// What was asked for last, or recorded last.
    frame: Audio,
}

/// What one tick comes to.
pub(super) enum Tick {
    /// 20 ms are to be sent: [`Doing::frame`].
    Frame,
    /// Nothing is to be sent.
    Nothing,
    /// It is over.
    Done(Event),
}

impl Doing {
    fn new(now: Instant, task: Task) -> Self {
        Self { task, next_tick: now, frame: Audio::default() }
    }

    /// Plays.
    pub(super) fn play(now: Instant, sounds: Vec<Wav>, repeat: bool) -> Result<Self, PlayError> {
        Ok(Self::new(now, Task::Play(Box::new(Player::new(sounds, repeat, RATE)?))))
    }

    /// Announces, then records.
    pub(super) fn record(
        now: Instant,
        prompt: Option<Wav>,
        rules: recorder::Config,
    ) -> Result<Self, RecordError> {
        Ok(Self::new(now, Task::Record(Box::new(Recorder::new(rules, prompt, RATE)?))))
    }

    /// When it wants to go on.
    pub(super) const fn next_tick(&self) -> Instant {
        self.next_tick
    }

    /// The sound of this tick.
    pub(super) fn frame(&mut self) -> &[i16] {
        if let Task::Play(player) = &self.task {
            player.sound(&mut self.frame);
        }
        &self.frame.samples
    }

    /// Sends the sound of this tick. What others are played as well is encoded once.
    ///
    /// # Errors
    /// The peer does not listen.
    pub(super) fn send(&mut self, now: Instant, session: &mut Session) -> Result<(), SendError> {
        if let Task::Play(player) = &self.task
            && let Some((prompt, index)) = player.current()
        {
            return session.send_prompt(now, prompt, index);
        }
        session.send_audio(now, self.frame())
    }

    /// Goes on by 20 ms.
    pub(super) fn tick(&mut self) -> Tick {
        self.next_tick += TICK;
        match &mut self.task {
            Task::Play(player) => {
                if player.step() {
                    Tick::Frame
                } else {
                    Tick::Done(Event::Played)
                }
            }
            Task::Record(recorder) => {
                if recorder.pull(&mut self.frame, RATE) {
                    Tick::Frame
                } else {
                    self.ended().map_or(Tick::Nothing, Tick::Done)
                }
            }
        }
    }

    /// Whether it makes anything of what it hears.
    pub(super) const fn listens(&self) -> bool {
        matches!(self.task, Task::Record(_))
    }

    /// Hears 20 ms of the leg.
    pub(super) fn hear(&mut self, audio: &Audio) {
        if let Task::Record(recorder) = &mut self.task {
            // Every rate that a session decodes to can be resampled.
            let _ = recorder.push(audio);
        }
    }

    /// A key was pressed on the leg; says whether that was the end.
    pub(super) fn key_pressed(&mut self, tone: dtmf::Tone) -> Option<Event> {
        if let Task::Record(recorder) = &mut self.task {
            recorder.tone(tone);
        }
        self.ended()
    }

    fn ended(&mut self) -> Option<Event> {
        match &mut self.task {
            Task::Play(_) => None,
            Task::Record(recorder) => recorder.poll().map(Event::Recorded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_takes_its_time_and_then_says_that_it_is_over() {
        let wav = Wav::new(&[1000; 700]).expect("it is short");
        let mut doing = Doing::play(Instant::ZERO, vec![wav.clone(), wav], false).expect("two");
        let mut frames = 0;
        loop {
            let now = doing.next_tick();
            match doing.tick() {
                Tick::Frame => frames += 1,
                Tick::Nothing => panic!("a prompt does not wait"),
                Tick::Done(event) => {
                    assert!(matches!(event, Event::Played));
                    assert_eq!(now, Instant::from_millis(100));
                    break;
                }
            }
        }
        // 1400 samples are four frames and a bit that is filled up.
        assert_eq!(frames, 5);
    }
}
