//! What a conference costs: the platform with a meeting in which some speak and the others
//! listen, fed with packets and asked for packets, without sockets. Beside it, in the same
//! rounds, the codec alone: a decoding of each speaker's packets and an encoding for each
//! speaker and one for all others. The ratio of the two is what this bench is for.
//!
//! `cargo bench --bench conference`; `-- 50 3` for another number of people and speakers.

mod room;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant as Clock;

use bytes::{Bytes, BytesMut};
use callrig_media::audio::level::Level;
use callrig_media::codec::opus;
use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, MediaDescription};
use callrig_media::rtp::extension::AudioLevel;
use callrig_media::rtp::{self, Extensions};
use callrig_media::time::{Epoch, Instant};
use callrig_signaling::event::Event;
use callrig_signaling::exchange::{Input, Output};
use callrig_signaling::id::UserId;
use callrig_signaling::service::{Config, Destination, Service};

const FRAME: Duration = Duration::from_millis(20);
const ROUNDS: usize = 15;
/// Frames of a round: four seconds.
const FRAMES: usize = 200;

struct Person {
    address: SocketAddr,
    platform: SocketAddr,
}

struct Conference {
    service: Service,
    people: Vec<Person>,
    now: Instant,
    number: u16,
    /// Encoded, and how loud it is.
    speech: Vec<(Bytes, u8)>,
    silence: Bytes,
    sent: u64,
}

fn speech() -> Vec<Vec<i16>> {
    room::voice(FRAMES * 320).chunks(320).map(<[i16]>::to_vec).collect()
}

fn encoder() -> opus::Encoder {
    opus::Encoder::new(&opus::Config { rate: 16_000, ..opus::Config::default() })
        .expect("libopus is built in")
}

fn encode(encoder: &mut opus::Encoder, samples: &[i16]) -> Bytes {
    let mut packet = [0; 1_275];
    let length = encoder.encode(samples, &mut packet).expect("it encodes");
    Bytes::copy_from_slice(&packet[..length])
}

impl Conference {
    fn new(count: usize) -> Self {
        let config = Config {
            directory: room::directory(count),
            media_ports: 10_000..=20_000,
            ..Config::default()
        };
        let mut service = Service::new(config, Epoch::default(), 1).expect("it can be built");
        let now = Instant::from_millis(1);
        let meeting = room::meeting(&mut service, now);
        let mut legs = BTreeMap::new();
        let mut answers = BTreeMap::new();
        for index in 0..count {
            let address =
                SocketAddr::from(([10, 1, (index / 250) as u8, (index % 250) as u8], 4_000));
            let user = UserId::new(&format!("user-{index}"));
            let offer = Description::new(address, vec![MediaDescription::audio("a")]);
            let arrival = service
                .join(now, &user, &Destination::Meeting(meeting.clone()), offer)
                .unwrap_or_else(|error| panic!("{error}"));
            legs.insert(arrival.leg, address);
        }
        while let Some(output) = service.poll_output() {
            if let Output::Event(Event::UserAnswered { leg, description, .. }) = output {
                answers.insert(leg, description.address);
            }
        }
        let people = legs
            .iter()
            .filter_map(|(leg, address)| {
                Some(Person { address: *address, platform: *answers.get(leg)? })
            })
            .collect::<Vec<_>>();
        assert_eq!(people.len(), count, "everybody is let in");
        let mut voice = encoder();
        let said = |frame: &Vec<i16>| (encode(&mut voice, frame), Level::of(frame).minus_dbov());
        let speech = speech().iter().map(said).collect();
        let silence = encode(&mut encoder(), &[0; 320]);
        Self { service, people, now, number: 0, speech, silence, sent: 0 }
    }

    /// The datagrams of one frame of everybody, made beforehand.
    fn datagrams(&mut self, frame: usize, speakers: usize) -> Vec<Datagram> {
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let datagram = |(index, person): (usize, &Person)| {
            let speaks = index < speakers;
            let (payload, level) = match speaks {
                true => self.speech[(frame + index * 37) % self.speech.len()].clone(),
                false => (self.silence.clone(), 127),
            };
            let level = AudioLevel { level, voice: speaks };
            let extensions = Extensions::build(&[(1, &[level.to_byte()])], &mut BytesMut::new())
                .expect("one byte fits");
            let header = rtp::Header {
                payload_type: 111,
                sequence_number: number,
                timestamp: u32::from(number) * 960,
                ssrc: index as u32 + 1,
                extensions,
                ..rtp::Header::default()
            };
            Datagram {
                source: person.address,
                destination: person.platform,
                payload: rtp::Packet { header, payload }.to_bytes(),
            }
        };
        self.people.iter().enumerate().map(datagram).collect()
    }

    fn drain(&mut self) {
        while let Some(output) = self.service.poll_output() {
            if matches!(output, Output::Datagram(_)) {
                self.sent += 1;
            }
        }
    }

    /// A frame's time passes.
    fn frame(&mut self, datagrams: Vec<Datagram>) {
        for datagram in datagrams {
            self.service.handle_input(self.now, Input::Datagram(datagram));
            self.drain();
        }
        let end = self.now + FRAME;
        while let Some(due) = self.service.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.service.handle_input(self.now, Input::Timeout);
            self.drain();
        }
        self.now = end;
    }

    fn round(&mut self, speakers: usize) -> f64 {
        let mut spent = Duration::ZERO;
        for frame in 0..FRAMES {
            let datagrams = self.datagrams(frame, speakers);
            let began = Clock::now();
            self.frame(datagrams);
            spent += began.elapsed();
        }
        spent.as_secs_f64()
    }
}

/// The codec's part of a round, with nothing around it.
struct Codec {
    decoders: Vec<opus::Decoder>,
    encoders: Vec<opus::Encoder>,
    packets: Vec<(Bytes, u8)>,
    frames: Vec<Vec<i16>>,
}

impl Codec {
    fn new(conference: &Conference, speakers: usize) -> Self {
        let heard = speakers.min(4);
        Self {
            decoders: (0..speakers)
                .map(|_| opus::Decoder::new(16_000, 1).expect("libopus is built in"))
                .collect(),
            encoders: (0..=heard).map(|_| encoder()).collect(),
            packets: conference.speech.clone(),
            frames: speech(),
        }
    }

    fn round(&mut self) -> f64 {
        let mut samples = [0; 320];
        let mut packet = [0; 1_275];
        let began = Clock::now();
        for frame in 0..FRAMES {
            for (index, decoder) in self.decoders.iter_mut().enumerate() {
                let (bytes, _) = &self.packets[(frame + index * 37) % self.packets.len()];
                assert!(decoder.decode(bytes, &mut samples).is_ok());
            }
            for encoder in &mut self.encoders {
                assert!(encoder.encode(&self.frames[frame], &mut packet).is_ok());
            }
        }
        began.elapsed().as_secs_f64()
    }
}

fn main() {
    let given: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let cases: Vec<(usize, usize)> = match given[..] {
        [people, speakers] => vec![(people, speakers)],
        _ => vec![(3, 3), (10, 3), (50, 3), (300, 3), (50, 50)],
    };
    println!("people speaking   ms/participant-second   codec alone   ratio   packets out/frame");
    for (people, speakers) in cases {
        let mut conference = Conference::new(people);
        let mut codec = Codec::new(&conference, speakers);
        conference.round(speakers);
        conference.sent = 0;
        let (mut all, mut alone, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (ours, theirs) = (conference.round(speakers), codec.round());
            all.push(ours);
            alone.push(theirs);
            ratios.push(ours / theirs);
        }
        let seconds = FRAMES as f64 * FRAME.as_secs_f64() * people as f64;
        let out = conference.sent as f64 / (ROUNDS * FRAMES) as f64;
        println!(
            "{people:>6} {speakers:>8}   {:>21.3}   {:>11.3}   {:>5.2}   {out:>17.1}",
            room::median(all) * 1e3 / seconds,
            room::median(alone) * 1e3 / seconds,
            room::median(ratios),
        );
    }
}
