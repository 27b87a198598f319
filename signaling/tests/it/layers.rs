//! Somebody shows the same in three sizes, and everybody sees the one that they asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::BytesMut;
use callrig_media::description::{Extension, MediaDescription, Simulcast};
use callrig_media::event::Event;
use callrig_media::payload::h264::{PacketizationMode, Packetizer};
use callrig_media::rtcp::{Application, View};
use callrig_media::rtp::{Extensions, Header, Packet};

use crate::gallery::{Film, come, source_id};
use crate::groups::{create, join, world};
use crate::world::World;

/// Names, sizes and bits per second of the layers; not in order, for nobody says that they are.
const LAYERS: [(&str, (u16, u16), u32); 3] =
    [("h", (320, 180), 250_000), ("f", (640, 360), 900_000), ("q", (160, 90), 60_000)];

/// Ticks of the video's clock in a frame.
const FRAME: u32 = 3_000;

/// One layer of a camera.
struct Layer {
    name: &'static str,
    film: Film,
    ssrc: u32,
    next_number: u16,
    /// The clock of each layer began elsewhere.
    timestamp: u32,
    /// Key frames that were asked for.
    asked: u32,
}

/// A camera with layers, on the second line of its owner's description.
struct Camera {
    owner: SocketAddr,
    line: MediaDescription,
    layers: Vec<Layer>,
    packetizer: Packetizer,
}

impl Camera {
    fn come(world: &mut World, who: &str) -> Self {
        let names = LAYERS.iter().map(|(name, ..)| (*name).to_owned()).collect();
        let simulcast = Simulcast { sends: true, layers: names };
        let line = MediaDescription::video("v").with_simulcast(simulcast);
        let owner = come(world, who, vec![MediaDescription::audio("a"), line.clone()]);
        let layers = LAYERS.iter().zip(1..).map(|(&(name, size, bits), n)| Layer {
            name,
            film: Film::new(size, bits),
            ssrc: 0x1000 * n,
            next_number: (1_000 * n) as u16,
            timestamp: 0x3333_3333_u32.wrapping_mul(n),
            asked: 0,
        });
        let packetizer = Packetizer::new(PacketizationMode::NonInterleaved, 1_100);
        let packetizer = packetizer.expect("the size is allowed");
        Self { owner, line, layers: layers.collect(), packetizer }
    }

    /// Shows one frame in every layer but these.
    fn show(&mut self, world: &mut World, stopped: &[&str]) {
        for event in core::mem::take(&mut world.person(self.owner).heard) {
            let Event::KeyFrameRequested { ssrc } = event else { continue };
            let layer = self.layers.iter_mut().find(|layer| layer.ssrc == ssrc);
            let layer = layer.expect("it is one of the layers");
            layer.film.encoder.request_key_frame();
            layer.asked += 1;
        }
        let id = |extension| self.line.extension_id(extension).expect("it is offered");
        let (mid, stream) = (id(Extension::Mid), id(Extension::StreamId));
        let mut fragments = Vec::new();
        for layer in self.layers.iter_mut().filter(|layer| !stopped.contains(&layer.name)) {
            layer.timestamp = layer.timestamp.wrapping_add(FRAME);
            let Some(unit) = layer.film.frame() else { continue };
            self.packetizer.packetize(&unit, &mut fragments).expect("it can be cut");
            for fragment in fragments.drain(..) {
                let elements = [(mid, b"v".as_slice()), (stream, layer.name.as_bytes())];
                let extensions = Extensions::build(&elements, &mut BytesMut::new());
                let header = Header {
                    marker: fragment.marker,
                    payload_type: 102,
                    sequence_number: layer.next_number,
                    timestamp: layer.timestamp,
                    ssrc: layer.ssrc,
                    extensions: extensions.expect("they fit"),
                    ..Header::default()
                };
                layer.next_number = layer.next_number.wrapping_add(1);
                let packet = Packet { header, payload: fragment.into_payload() };
                let sent = world
                    .with_session(self.owner, |session, now| session.forward(now, packet.into()));
                sent.expect("the line is negotiated");
            }
        }
        world.run_ms(33);
    }

    fn show_seconds(&mut self, world: &mut World, seconds: usize) {
        (0..seconds * 30).for_each(|_| self.show(world, &[]));
    }
}

/// What somebody has seen since the last time: how many pictures of how many lines, and that
/// each came after the one before.
fn seen(world: &mut World, who: SocketAddr) -> BTreeMap<u16, usize> {
    let mut seen = BTreeMap::new();
    let mut last: BTreeMap<u32, u32> = BTreeMap::new();
    for event in core::mem::take(&mut world.person(who).heard) {
        let Event::Frame(frame) = event else { continue };
        let (_, height) = frame.resolution.expect("its parameter sets came with it");
        *seen.entry(height).or_default() += 1;
        if let Some(before) = last.insert(frame.ssrc, frame.timestamp) {
            let step = frame.timestamp.wrapping_sub(before).cast_signed();
            // When a layer stops, that is seen first, and a key frame of another one waited for.
            assert!((1..=112_500).contains(&step), "a step of {step} ticks");
        }
    }
    seen
}

fn plain() -> Vec<MediaDescription> {
    vec![MediaDescription::audio("a"), MediaDescription::video("v")]
}

fn ask(world: &mut World, who: SocketAddr, view: View) {
    world.with_session(who, |session, now| {
        session.send_application(now, Application::view(view)).expect("it is open");
    });
}

#[test]
fn everybody_sees_the_size_they_asked_for() {
    let mut world = world();
    create(&mut world, &join("19:x"));
    world.run_ms(200);
    let mut camera = Camera::come(&mut world, "ben");
    let [large, small] = ["cleo", "dora"].map(|who| come(&mut world, who, plain()));
    camera.show_seconds(&mut world, 2);
    let ben = source_id(&world, "ben", "main-video");
    let view = View { media: 1, source: ben, lines_max: Some(240) };
    ask(&mut world, small, view);
    camera.show_seconds(&mut world, 1);
    for who in [large, small] {
        seen(&mut world, who);
    }
    camera.show_seconds(&mut world, 2);
    let (by_large, by_small) = (seen(&mut world, large), seen(&mut world, small));
    assert_eq!(by_large.keys().copied().collect::<Vec<_>>(), [360], "{by_large:?}");
    assert_eq!(by_small.keys().copied().collect::<Vec<_>>(), [180], "{by_small:?}");
    assert!(by_large[&360] > 50 && by_small[&180] > 50, "{by_large:?} {by_small:?}");
    // Nothing is small enough: the smallest there is.
    ask(&mut world, small, View { lines_max: Some(1), ..view });
    camera.show_seconds(&mut world, 1);
    seen(&mut world, small);
    camera.show_seconds(&mut world, 1);
    assert_eq!(seen(&mut world, small).into_keys().collect::<Vec<_>>(), [90]);
    // The largest stops: everybody goes on with what is left, and back when it is there again.
    for _ in 0..90 {
        camera.show(&mut world, &["f"]);
    }
    seen(&mut world, large);
    for _ in 0..30 {
        camera.show(&mut world, &["f"]);
    }
    assert_eq!(seen(&mut world, large).into_keys().collect::<Vec<_>>(), [180]);
    camera.show_seconds(&mut world, 2);
    seen(&mut world, large);
    camera.show_seconds(&mut world, 1);
    assert_eq!(seen(&mut world, large).into_keys().collect::<Vec<_>>(), [360]);
    let asked: Vec<u32> = camera.layers.iter().map(|layer| layer.asked).collect();
    assert!(asked.iter().all(|asked| (1..=8).contains(asked)), "{asked:?}");
}
