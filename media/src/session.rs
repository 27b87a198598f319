//! One peer: packets in; sound, frames, tones and statistics out; and the way back. RTP and
//! RTCP share the port (RFC 5761) and are told from everything else by their first bytes
//! (RFC 7983). Between descriptions with [`Secure`](crate::description::Secure) parameters
//! they travel by [WebRTC](crate::transport::webrtc), which is all the difference. Deviations: reduced-size RTCP (RFC 5506) is taken without
//! having been negotiated, and a source counts from its first packet unless
//! [`Config::sequence_limits`] says otherwise.

mod arrivals;
mod broadcast;
mod config;
mod control;
mod lines;
mod losses;
mod nack;
mod outbound;
mod outbox;
mod pacer;
mod path;
mod receive;
mod relayed;
mod secure;
mod send;
mod showing;
mod summary;
mod thin;
mod tones;
mod track;

use core::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

pub use broadcast::Broadcast;
pub use config::{Config, ConfigError, Decode};
use control::{Control, Parts};
use lines::Lines;
use outbox::Outbox;
use receive::Receiver;
pub use relayed::Relayed;
use secure::Secure;
use send::Sender;
pub use showing::Showing;

use crate::audio::Audio;
use crate::datagram::Datagram;
use crate::dtmf::Tone;
use crate::event::{DropReason, Event};
use crate::fault::{self, Fault};
use crate::payload::encode::EncodeError;
use crate::payload::h264::PacketizeError;
use crate::prompt::Wav;
use crate::rtcp::Application;
use crate::rtp::{self, Csrcs, Demultiplexed, demultiplex};
use crate::stats::Stats;
use crate::time::{Epoch, Instant, earlier};
use crate::transport::webrtc;

/// So many times a source of ours changes its number because the peer has the same one;
/// then it is taken for our own packets coming back (RFC 3550 section 8.2).
const COLLISIONS_MAX: u8 = 4;

/// What a session is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A datagram arrived.
    Datagram(Datagram),
    /// The moment that `poll_timeout` named has come.
    Timeout,
}

/// What a session answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A datagram to send now.
    Datagram(Datagram),
    /// Something happened.
    Event(Event),
}

/// One peer on one 5-tuple.
#[derive(Debug)]
pub struct Session {
    lines: Lines,
    receiver: Receiver,
    sender: Sender,
    control: Control,
    out: Outbox,
    /// What packets travel by, if not as they are.
    secure: Option<Box<Secure>>,
    random: Pcg64Mcg,
    /// Our addresses, as seen on what arrives.
    expected: Datagram,
    counts: Counts,
    collisions: u8,
    closed: bool,
    captures: bool,
    /// What leaves next was told of to nobody yet.
    passing: Option<Datagram>,
}

/// What came in.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    datagrams: u64,
    rtp: u64,
    rtcp: u64,
}

impl Session {
    /// A session that nothing has come to yet. `seed` decides everything that is left to
    /// chance: SSRCs, first sequence numbers and timestamps, times of reports.
    ///
    /// # Errors
    /// What [`Config::validate`] says, and codecs that cannot be set up.
    #[expect(clippy::needless_pass_by_value, reason = "all machines are built in one way")]
    pub fn new(config: Config, epoch: Epoch, seed: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let (source, destination) = (config.local.address, config.remote.address);
        let addressed = Datagram { source, destination, payload: Bytes::new() };
        let lines = Lines::new(&config);
        Ok(Self {
            secure: Secure::new(&config)?.map(Box::new),
            receiver: Receiver::new(&config)?,
            sender: Sender::new(&config, &lines, &mut random),
            lines,
            control: Control::new(&config, epoch),
            out: Outbox::new(addressed.clone(), config.relay),
            random,
            expected: addressed,
            counts: Counts::default(),
            collisions: 0,
            closed: false,
            captures: false,
            passing: None,
        })
    }

    /// Goes on between the same two sides with its media taken apart in another way, as
    /// when a relayed call becomes a mixed one. The transport below stays, so that the peer
    /// need not be asked; streams and counts begin anew. Drain before: what is still to be
    /// handed out is lost.
    ///
    /// # Errors
    /// As [`new`](Self::new); then nothing has changed.
    pub fn retarget(&mut self, config: Config, epoch: Epoch, seed: u64) -> Result<(), ConfigError> {
        let mut anew = Self::new(config, epoch, seed)?;
        core::mem::swap(&mut anew.secure, &mut self.secure);
        anew.sender.take_over(&mut self.sender);
        anew.captures = self.captures;
        *self = anew;
        Ok(())
    }

    /// Takes what arrives, and the time. Cannot fail: what is wrong with a datagram is an
    /// [`Event::Dropped`].
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Datagram(datagram) if self.secure.is_some() => {
                self.pass(now, webrtc::Input::Datagram(datagram));
            }
            Input::Datagram(datagram) => self.receive(now, datagram),
            Input::Timeout if self.closed => {}
            Input::Timeout => {
                self.pass(now, webrtc::Input::Timeout);
                self.receiver.handle_timeout(now, &mut self.out);
                self.sender.handle_timeout(now, &self.lines, &mut self.out);
                let (control, mut parts) = self.split();
                control.start(now, &mut parts);
                control.handle_timeout(now, &mut parts);
            }
        }
        if self.closed {
            return;
        }
        // Before pictures need to know it.
        if self.is_untried() {
            self.sender.path.try_first(now);
        }
        self.sender.look_for_room(now, &mut self.out);
    }

    /// What there is to send or to say, in order. Drain to `None` after every input and
    /// every command.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(datagram) = self.passing.take() {
            return Some(Output::Event(Event::Passed { outgoing: true, datagram }));
        }
        loop {
            if let Some(output) = self.secure.as_mut().and_then(|secure| secure.pop()) {
                return Some(output);
            }
            let clear = match self.out.pop()? {
                Output::Datagram(datagram) => datagram,
                event @ Output::Event(_) => return Some(event),
            };
            let leaves = match &mut self.secure {
                None if !self.captures => return Some(Output::Datagram(clear)),
                None => Some(clear.clone()),
                Some(secure) => secure.protect(&clear),
            };
            if let Some(datagram) = leaves {
                self.passing = self.captures.then_some(clear);
                return Some(Output::Datagram(datagram));
            }
        }
    }

    /// Whether what passes is told of in the clear from now on ([`Event::Passed`]).
    pub const fn set_capture(&mut self, captures: bool) {
        self.captures = captures;
    }

    /// Gives something to what packets travel by, and takes what it makes of it.
    fn pass(&mut self, now: Instant, input: webrtc::Input) {
        let Some(mut secure) = self.secure.take() else { return };
        secure.handle_input(now, input, |payload| {
            let (source, destination) = (self.expected.destination, self.expected.source);
            self.receive(now, Datagram { source, destination, payload });
        });
        self.secure = Some(secure);
    }

    /// The next packet to relay, with `relay` in the configuration. Drain to `None` after
    /// every input.
    pub fn poll_packet(&mut self) -> Option<Relayed> {
        self.out.pop_relayed()
    }

    /// When to call with [`Input::Timeout`]; none before anything happened, unless it is to be
    /// tried what the path carries, and after [`close`](Self::close).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        if self.is_untried() {
            return Some(Instant::ZERO);
        }
        let below = self.secure.as_ref().and_then(|secure| secure.poll_timeout());
        let media = earlier(self.receiver.poll_timeout(), self.sender.poll_timeout());
        earlier(earlier(media, self.control.poll_timeout()), below)
    }

    fn split(&mut self) -> (&mut Control, Parts<'_>) {
        let parts = Parts {
            lines: &self.lines,
            receiver: &mut self.receiver,
            sender: &mut self.sender,
            out: &mut self.out,
            random: &mut self.random,
        };
        (&mut self.control, parts)
    }

    fn start(&mut self, now: Instant) {
        let (control, mut parts) = self.split();
        control.start(now, &mut parts);
    }

    /// Whether the peer is there, and nothing was tried yet of what the path to it carries.
    fn is_untried(&self) -> bool {
        let is_there = || self.secure.as_ref().is_none_or(|secure| secure.is_connected());
        self.sender.path.is_untried() && is_there()
    }

    fn receive(&mut self, now: Instant, datagram: Datagram) {
        self.counts.datagrams += 1;
        if self.closed {
            return self.out.drop(now, DropReason::Closed, None, None);
        }
        // What we send comes from where we receive.
        if datagram.source != self.expected.destination {
            return self.out.drop(now, DropReason::ForeignAddress, None, None);
        }
        if self.captures {
            self.out.event(Event::Passed { outgoing: false, datagram: datagram.clone() });
        }
        self.start(now);
        match demultiplex(&datagram.payload) {
            Demultiplexed::Rtp => {
                self.counts.rtp += 1;
                self.receive_rtp(now, datagram.payload);
            }
            Demultiplexed::Rtcp => {
                self.counts.rtcp += 1;
                if fault::is(Fault::DatagramNotCounted) {
                    self.counts.datagrams -= 1;
                }
                let (control, mut parts) = self.split();
                control.receive(now, &datagram.payload, &mut parts);
            }
            Demultiplexed::Other => self.out.drop(now, DropReason::NotRtp, None, None),
        }
    }

    fn receive_rtp(&mut self, now: Instant, datagram: Bytes) {
        self.out.arrives(&datagram);
        let Ok(packet) = rtp::Packet::parse(datagram) else {
            return self.out.drop(now, DropReason::MalformedRtp, None, None);
        };
        let ssrc = packet.header.ssrc;
        if self.sender.find(ssrc).is_some() && !self.resolve_collision(now, ssrc) {
            return self.out.drop_packet(now, DropReason::OwnSource, &packet.header);
        }
        self.receiver.receive(now, packet, &self.lines, &mut self.out);
        if self.receiver.wants_feedback(now) {
            let (control, mut parts) = self.split();
            control.send_feedback(now, &mut parts);
        }
    }

    /// The peer has the number of a stream of ours: moves ours (RFC 3550 section 8.2).
    fn resolve_collision(&mut self, now: Instant, ssrc: u32) -> bool {
        let to = self.sender.unused_ssrc(&mut self.random);
        let Some(stream) = self.sender.get_mut(ssrc) else { return true };
        if stream.forwarded || self.collisions >= COLLISIONS_MAX {
            return false;
        }
        self.collisions += 1;
        let (control, mut parts) = self.split();
        control.send_bye_of(now, ssrc, &mut parts);
        self.sender.change_ssrc(ssrc, to);
        self.out.event(Event::SourceChanged { from: ssrc, to });
        true
    }

    /// Sends 20 ms of mono sound at the configured `output_rate`, in the codec that the
    /// peer likes best. Call it every 20 ms; after a longer pause the timestamps follow
    /// the clock.
    ///
    /// # Errors
    /// A wrong number of samples, no audio line that we may send on, a closed session.
    pub fn send_audio(&mut self, now: Instant, samples: &[i16]) -> Result<(), SendError> {
        self.open(now)?;
        self.sender.send_audio(now, samples, &self.lines, &mut self.out)
    }

    /// Sends what many sessions send: it is encoded once for all of them that like the same
    /// codec best. Call it every 20 ms as [`send_audio`](Self::send_audio), in whose place it
    /// is.
    ///
    /// # Errors
    /// No audio line that we may send on, a closed session.
    pub fn send_broadcast(
        &mut self,
        now: Instant,
        broadcast: &mut Broadcast,
    ) -> Result<(), SendError> {
        self.open(now)?;
        self.sender.send_broadcast(now, None, broadcast, &self.lines, &mut self.out)
    }

    /// The same on the media line with this index, where there are several of sound.
    ///
    /// # Errors
    /// No such line of sound, one we may not send on, no encoder for its codec, a closed session.
    pub fn send_broadcast_on(
        &mut self,
        now: Instant,
        media: usize,
        broadcast: &mut Broadcast,
    ) -> Result<(), SendError> {
        self.open(now)?;
        self.sender.send_broadcast(now, Some(media), broadcast, &self.lines, &mut self.out)
    }

    /// Sends the 20 ms of a prompt with this number: they are encoded for the first session that
    /// sends them, and kept for all others. Sound of its own goes on afterwards as if it began.
    /// Call it every 20 ms as [`send_audio`](Self::send_audio), in whose place it is, of a
    /// session at the rate of prompts.
    ///
    /// # Errors
    /// No audio line that we may send on, another rate, a closed session.
    pub fn send_prompt(
        &mut self,
        now: Instant,
        prompt: &Wav,
        index: usize,
    ) -> Result<(), SendError> {
        self.open(now)?;
        self.sender.send_prompt(now, prompt, index, &self.lines, &mut self.out)
    }

    /// Sends a payload in the codec that the peer likes best, encoded elsewhere, which
    /// lasts `ticks` of its RTP clock.
    ///
    /// # Errors
    /// No audio line that we may send on, a closed session.
    pub fn send_encoded_audio(
        &mut self,
        now: Instant,
        payload: &Bytes,
        ticks: u32,
        marker: bool,
    ) -> Result<(), SendError> {
        self.open(now)?;
        self.sender.send_encoded_audio(now, payload, ticks, marker, &self.lines, &mut self.out)
    }

    /// Sends an access unit (Annex B) on the media line with this index. Where the peer's
    /// feedback says that the way to it carries less, it is left out and counted
    /// ([`Outbound::frames_discarded`](crate::stats::Outbound)); a key frame is asked for
    /// ([`Event::KeyFrameRequested`]) when there is room again.
    ///
    /// # Errors
    /// No such line, one we may not send video on, an access unit that cannot be cut into
    /// packets, a closed session.
    pub fn send_frame(
        &mut self,
        now: Instant,
        media: usize,
        access_unit: &Bytes,
        rtp_timestamp: u32,
    ) -> Result<(), SendError> {
        self.open(now)?;
        self.sender.send_frame(now, media, access_unit, rtp_timestamp, &self.lines, &mut self.out)
    }

    /// Sends what many sessions show: it is cut into packets once for all whose packets are of
    /// one shape. Otherwise as [`send_frame`](Self::send_frame).
    ///
    /// # Errors
    /// As [`send_frame`](Self::send_frame).
    pub fn send_showing(
        &mut self,
        now: Instant,
        media: usize,
        showing: &mut Showing,
        rtp_timestamp: u32,
    ) -> Result<(), SendError> {
        self.open(now)?;
        self.sender.send_showing(now, media, showing, rtp_timestamp, &self.lines, &mut self.out)
    }

    /// From now on sound is not decoded that its header says to be quieter than this, in
    /// −dBov (RFC 6464): 127 is silence. With `None` everything is.
    pub fn set_unheard(&mut self, level: Option<u8>) {
        self.receiver.set_unheard(level);
    }

    /// From now on sound keeps its time but is not decoded ([`Kind::Drowned`]) that its header says
    /// to be quieter than this, in −dBov: for somebody who hears only louder voices, for the
    /// moment. When that changes, what comes next is decoded as if nothing had been left out. Only
    /// after [`set_unheard`](Self::set_unheard), and of peers that signal keys in events of their
    /// own.
    ///
    /// [`Kind::Drowned`]: crate::audio::Kind::Drowned
    pub fn set_drowned(&mut self, level: Option<u8>) {
        self.receiver.set_drowned(level);
    }

    /// Presses a key for so long (RFC 4733). Keys pressed meanwhile wait for their turn.
    ///
    /// # Errors
    /// No telephone events negotiated, too many keys waiting, a closed session.
    pub fn send_tone(
        &mut self,
        now: Instant,
        tone: Tone,
        duration: Duration,
    ) -> Result<(), SendError> {
        self.open(now)?;
        self.sender.send_tone(now, tone, duration, &self.lines, &mut self.out)
    }

    /// Asks the peer for a key frame of this stream of its.
    ///
    /// # Errors
    /// No such stream, neither PLI nor FIR negotiated, a closed session.
    pub fn request_key_frame(&mut self, now: Instant, ssrc: u32) -> Result<(), SendError> {
        self.open(now)?;
        let (control, mut parts) = self.split();
        control.request_key_frame(now, ssrc, &mut parts)
    }

    /// Says something to the peer's application (RFC 3550 section 6.7), once: it may be lost.
    ///
    /// # Errors
    /// A closed session.
    pub fn send_application(&mut self, now: Instant, said: Application) -> Result<(), SendError> {
        self.open(now)?;
        let (control, mut parts) = self.split();
        control.say(now, said, &mut parts);
        Ok(())
    }

    /// Whose contributions are sent on a media line from now on (RFC 3550 section 7.1).
    pub fn set_contributors(&mut self, media: usize, csrcs: &Csrcs) {
        self.sender.set_contributors(media, csrcs);
    }

    /// Other pictures than until now come on a media line next, with a key frame: those of
    /// somebody else, or a layer of another size. What was left out of the ones before, and why,
    /// does not count for them.
    pub fn begin_anew(&mut self, media: usize) {
        self.sender.begin_anew(media);
    }

    /// Tells the peer that there is room for so many bits per second of its pictures, where
    /// that was negotiated (`goog-remb`): an encoder that can keeps to it.
    ///
    /// # Errors
    /// A closed session.
    pub fn limit_sender(&mut self, now: Instant, bits_per_second: u64) -> Result<(), SendError> {
        self.open(now)?;
        let (control, mut parts) = self.split();
        control.limit_sender(now, bits_per_second, &mut parts);
        Ok(())
    }

    /// Relays a packet of another session as it is: numbers, timestamps, SSRC, payload
    /// type, header extensions. Where the peer's feedback says that the way to it carries
    /// less than all of that, whole pictures are left out, and numbers follow each other. Under
    /// an SSRC that our description announces for a line it is that line's stream, which is sent
    /// again as negotiated there.
    ///
    /// # Errors
    /// A payload type that the peer does not know, a number that a stream of ours has sent
    /// under, too many sources, a closed session.
    pub fn forward(&mut self, now: Instant, relayed: Relayed) -> Result<(), SendError> {
        self.open(now)?;
        self.sender.forward(now, relayed, &self.lines, &mut self.out)
    }

    /// Says goodbye and stops: nothing is taken or sent any more.
    pub fn close(&mut self, now: Instant) {
        if !self.closed {
            let (control, mut parts) = self.split();
            control.send_bye(now, &mut parts);
            self.receiver.finish(now, &mut self.out);
            self.closed = true;
            if let Some(secure) = &mut self.secure {
                secure.close(now, core::iter::from_fn(|| self.out.pop()));
            }
        }
    }

    fn open(&mut self, now: Instant) -> Result<(), SendError> {
        if self.closed {
            return Err(SendError::Closed);
        }
        self.start(now);
        Ok(())
    }

    /// The number of the stream that we send on the media line with this index.
    #[must_use]
    pub fn ssrc(&self, media: usize) -> Option<u32> {
        let stream = self.sender.streams.get(media).filter(|stream| !stream.forwarded)?;
        Some(stream.ssrc)
    }

    /// Bits per second that the path to the peer carries, as far as is known (webrtc-stats'
    /// `availableOutgoingBitrate`), to choose by what is sent; none where nothing tries whether
    /// there is more than is sent.
    #[must_use]
    pub fn available(&self) -> Option<u64> {
        self.sender.path.available()
    }

    /// So many bits per second would be sent if the path carried them, where the caller has
    /// chosen less because of it: whether it does is tried.
    pub const fn set_aim(&mut self, bits_per_second: u64) {
        self.sender.path.set_aim(bits_per_second);
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        summary::stats(self)
    }

    /// Gives a sound back, so that its memory is used again.
    pub fn recycle(&mut self, audio: Box<Audio>) {
        self.out.recycle(audio);
    }
}

/// Why something cannot be sent.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SendError {
    /// The session is closed.
    #[error("the session is closed")]
    Closed,
    /// There is no media line with this index.
    #[error("there is no media line {media}")]
    NoSuchMedia {
        /// The index.
        media: usize,
    },
    /// The peer has no stream with this number.
    #[error("the peer has no source {ssrc:#010x}")]
    NoSuchStream {
        /// The number.
        ssrc: u32,
    },
    /// It was not negotiated: no such line, no common codec, the wrong direction, or no
    /// such feedback.
    #[error("it was not negotiated")]
    NotNegotiated,
    /// The peer does not know this payload type.
    #[error("the peer has no payload type {payload_type}")]
    UnknownPayloadType {
        /// The payload type.
        payload_type: u8,
    },
    /// A stream of ours has the number of the relayed one.
    #[error("{ssrc:#010x} is a source of ours")]
    OwnSource {
        /// The number.
        ssrc: u32,
    },
    /// As many sources are relayed as is allowed.
    #[error("{max} sources are relayed already")]
    TooManyStreams {
        /// How many that is.
        max: usize,
    },
    /// As many keys wait as is allowed.
    #[error("{max} tones wait already")]
    TooManyTones {
        /// How many that is.
        max: usize,
    },
    /// A tone that cannot be sent.
    #[error(transparent)]
    Tone(#[from] crate::dtmf::send::BuildError),
    /// Not 20 ms.
    #[error("{samples} samples instead of {wanted}")]
    FrameSize {
        /// Given.
        samples: usize,
        /// 20 ms of them.
        wanted: usize,
    },
    /// The codec refused.
    #[error("encoder: {0}")]
    Encoder(String),
    /// The header extension cannot be written.
    #[error("header extension: {0}")]
    Extension(String),
    /// The access unit cannot be cut into packets.
    #[error(transparent)]
    Packetize(#[from] PacketizeError),
}

impl From<EncodeError> for SendError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::NotSound => Self::NotNegotiated,
            EncodeError::Library(reason) => Self::Encoder(reason),
        }
    }
}
