//! What it costs to play one prompt to many callers: a bot has answered each of them, and has a
//! prompt played that all calls fetch once (`resourceId`). Each caller is at a socket of its own
//! on loopback, over plain RTP and over WebRTC. Beside it, in the same rounds, what no platform
//! can do without: the kernel, given as many datagrams of that size, and the cipher. Counted is
//! the platform's thread alone.
//!
//! `cargo bench --bench prompt`; `-- 1000` for another number of calls.

#[path = "room/outside.rs"]
mod outside;
#[path = "../../media/tests/it/webrtc/pair.rs"]
#[expect(dead_code, reason = "only the check is wanted")]
mod pair;
#[expect(dead_code, reason = "there is no meeting")]
mod room;

use core::time::Duration;
use std::net::UdpSocket;
use std::time::Instant as Clock;

use bytes::Bytes;
use callrig_media::description::MediaDescription;
use callrig_media::prompt::Wav;
use callrig_media::time::Instant;
use callrig_signaling::exchange::Input;
use callrig_signaling::http::{Method, Request, RequestId, Response};
use callrig_signaling::id::{AppId, CallId, UserId};
use callrig_signaling::service::{Config, Limits};
use outside::{Cipher, Guest, LOCALHOST, Person, Platform, Spent};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FRAME: Duration = Duration::from_millis(20);
/// Frames of a round: a second.
const FRAMES: usize = 50;
const ROUNDS: usize = 9;
/// So many exchange keys in one frame; and the frames until the last of them have.
const AT_ONCE: usize = 20;
const WARM_UP: usize = 60;
/// A peer shows that it is there once in so many frames.
const CHECK_EVERY: usize = 125;
/// Seconds of the prompt: it outlasts the rounds.
const PROMPT: usize = 15;
/// All calls have their prompt within so many frames: not all speak at one moment.
const SPREAD: usize = 40;

/// The bytes of a datagram of the prompt, about, for the limits.
const SIZE: usize = 100;

struct Line {
    platform: Platform,
    callers: Vec<Person>,
    now: Instant,
    frame: usize,
    room: Vec<u8>,
}

fn prompt() -> Bytes {
    Wav::new(&room::voice(PROMPT * 16_000)).expect("it is short").write()
}

fn ask(platform: &mut Platform, now: Instant, call: &CallId, action: &str, body: &'static str) {
    let request = Request {
        id: RequestId(1),
        method: Method::Post,
        uri: format!("https://graph.microsoft.com/v1.0/communications/calls/{call}/{action}"),
        headers: [("authorization", "Bearer bot"), ("content-type", "application/json")].into(),
        body: Bytes::from_static(body.as_bytes()),
    };
    platform.service.handle_input(now, Input::Request(request));
    platform.drain();
}

/// Answers what the platform asks: notifications are taken, the prompt is handed out.
fn serve(platform: &mut Platform, now: Instant, file: &Bytes) {
    while let Some(request) = platform.asks.pop() {
        let mut response = Response::empty(request.id, 200);
        if request.method == Method::Get {
            response.body = file.clone();
        }
        platform.service.handle_input(now, Input::Response(response));
        platform.drain();
    }
}

const ANSWER: &str = r##"{"callbackUri":"https://bot.test/api/calls","acceptedModalities":["audio"],
    "mediaConfig":{"@odata.type":"#microsoft.graph.serviceHostedMediaConfig"}}"##;
const PLAY: &str = r#"{"clientContext":"c","prompts":[{"mediaInfo":{"uri":"https://bot.test/a.wav",
    "resourceId":"a"}}]}"#;

impl Line {
    fn new(calls: usize, secure: bool, file: &Bytes) -> Self {
        let mut directory = room::directory(1);
        directory.apps[0].webhook = Some("https://bot.test/api/calls".to_owned());
        let limits = Limits {
            calls_per_app_max: calls + 1,
            calls_per_person_max: 0,
            requests_per_second_max: 0,
            ..Limits::default()
        };
        let mut platform = Platform::new(Config { directory, limits, ..Config::default() }, secure);
        let mut now = Instant::from_millis(1);
        let (user, bot) = (UserId::new("user-0"), AppId::new("bot"));
        let mut handles = Vec::new();
        let mut callers = Vec::new();
        for index in 0..calls {
            let guest = Guest::new(index, vec![MediaDescription::audio("a")], secure);
            let rings =
                platform.service.ring_bot(now, &user, &bot, guest.offer.clone()).expect("room");
            platform.drain();
            serve(&mut platform, now, file);
            ask(&mut platform, now, &rings.call, "answer", ANSWER);
            serve(&mut platform, now, file);
            callers.push(guest.enter(index, platform.answer(rings.leg)));
            handles.push(rings.call);
        }
        now += FRAME;
        let mut line = Self { platform, callers, now, frame: 0, room: vec![0; 2_048] };
        for first in (0..calls).step_by(AT_ONCE) {
            let now = line.now;
            line.callers.iter_mut().skip(first).take(AT_ONCE).for_each(|one| one.check(now, true));
            line.frame();
        }
        for _ in 0..WARM_UP {
            line.frame();
            serve(&mut line.platform, line.now, file);
        }
        let mut waiting = handles.into_iter();
        for _ in 0..SPREAD {
            for call in waiting.by_ref().take(calls.div_ceil(SPREAD)) {
                ask(&mut line.platform, line.now, &call, "playPrompt", PLAY);
                serve(&mut line.platform, line.now, file);
            }
            line.frame();
        }
        line
    }

    /// A frame's time passes.
    fn frame(&mut self) -> Spent {
        let end = self.now + FRAME;
        if self.frame.is_multiple_of(CHECK_EVERY) {
            let now = self.now;
            self.callers.iter_mut().for_each(|caller| caller.check(now, false));
        }
        let spent = self.platform.turn(&mut self.now, end);
        self.now = end;
        for caller in &mut self.callers {
            caller.turn(end, &mut self.room);
        }
        self.frame += 1;
        spent
    }

    fn came(&self) -> u64 {
        self.callers.iter().map(|caller| caller.came).sum()
    }

    fn round(&mut self) -> Spent {
        let mut sum = Spent::default();
        for _ in 0..FRAMES {
            sum.add(self.frame());
        }
        sum
    }

    /// Nanoseconds that the kernel takes for a datagram to each caller.
    fn kernel(&mut self) -> f64 {
        let socket = UdpSocket::bind(LOCALHOST).expect("a port");
        let began = Clock::now();
        for caller in &self.callers {
            socket.send_to(&[0x11; SIZE], caller.address).expect("loopback takes it");
        }
        let took = began.elapsed();
        for caller in &self.callers {
            while caller.socket.recv_from(&mut self.room).is_ok() {}
        }
        took.as_nanos() as f64 / self.callers.len() as f64
    }
}

fn main() {
    let given: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let cases = if given.is_empty() { vec![1, 10, 100, 1_000] } else { given };
    let file = prompt();
    println!("ms of CPU a call and second; calls that a core plays it to; limit = kernel + cipher");
    println!(
        "calls  carrier   work  sockets    all   per core   kernel  cipher   x limit   packets/s"
    );
    for secure in [false, true] {
        for &calls in &cases {
            let mut line = Line::new(calls, secure, &file);
            let mut cipher = Cipher::new(calls);
            let mut rows: [Vec<f64>; 6] = Default::default();
            let before = line.came();
            for _ in 0..ROUNDS {
                let spent = line.round();
                let each = |took: Duration| took.as_secs_f64() * 1e3 / calls as f64;
                let (work, sockets) = (each(spent.work), each(spent.sockets));
                let per_second = |nanos: f64| nanos * FRAMES as f64 / 1e6;
                let kernel = per_second(line.kernel());
                let coded = if secure { cipher.round(SIZE) } else { 0.0 };
                let (coded, all) = (per_second(coded), work + sockets);
                let of = [work, sockets, all, kernel, coded, all / (kernel + coded)];
                rows.iter_mut().zip(of).for_each(|(row, value)| row.push(value));
            }
            let packets = (line.came() - before) as f64 / (calls * ROUNDS) as f64;
            let [work, sockets, all, kernel, coded, ratio] = rows.map(room::median);
            println!(
                "{calls:>5}  {:<7}  {work:>5.3}    {sockets:>5.3}  {all:>5.3}  {:>9.0}    {kernel:>5.3}   {coded:>5.3}    {ratio:>5.2}       {packets:>5.1}",
                if secure { "WebRTC" } else { "RTP" },
                1e3 / all,
            );
        }
    }
}
