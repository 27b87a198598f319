//! What one call costs does not depend on how many there are: a whole life of a call (rung,
//! redirected, taken by somebody else, hung up; rung, answered, transferred) beside ten
//! standing calls and beside ten thousand.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use callrig_media::description::Description;
use callrig_media::time::Instant;
use callrig_signaling::event::Event;
use callrig_signaling::exchange::{Input, Output};
use callrig_signaling::http::{Method, Request, RequestId};
use callrig_signaling::id::{AppId, CallId, UserId};
use callrig_signaling::service::{Ringing, Service};

use crate::world::{API, SERVICE_HOSTED, config, epoch};

struct Bare {
    service: Service,
    requests: u64,
    rung: Option<(callrig_signaling::id::LegId, Description)>,
}

impl Bare {
    fn new(standing: usize) -> Self {
        let mut config = config();
        config.media_ports = 1024..=65_535;
        config.limits.calls_per_app_max = 100_000;
        config.limits.calls_per_person_max = 0;
        config.limits.requests_per_second_max = 0;
        let service = Service::new(config, epoch(), 1).expect("the config is valid");
        let mut bare = Self { service, requests: 1 << 40, rung: None };
        for _ in 0..standing {
            bare.ring();
        }
        bare
    }

    fn ring(&mut self) -> Ringing {
        let offer = Description::audio(SocketAddr::from(([127, 0, 0, 2], 4000)));
        let (ann, bot) = (UserId::new("ann"), AppId::new("bot"));
        let rings = self.service.ring_bot(Instant::ZERO, &ann, &bot, offer).expect("there is room");
        self.drain();
        rings
    }

    fn post(&mut self, call: CallId, action: &str, body: &str) {
        self.requests += 1;
        let request = Request {
            id: RequestId(self.requests),
            method: Method::Post,
            uri: format!("{API}/communications/calls/{call}/{action}"),
            headers: [("Authorization", "Bearer bot")].into(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        self.service.handle_input(Instant::ZERO, Input::Request(request));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.service.poll_output() {
            if let Output::Event(Event::UserRung { leg, offer, .. }) = output {
                self.rung = Some((leg, offer));
            }
        }
    }

    fn pick_up(&mut self) {
        let (leg, offer) = self.rung.take().expect("a telephone rings");
        let at = SocketAddr::from(([127, 0, 0, 2], 4001));
        let answer = Description::audio(at).answer(&offer);
        self.service.answer(Instant::ZERO, leg, answer).expect("it rings");
        self.drain();
    }

    fn lives(&mut self) {
        let ben = r#"{"identity":{"user":{"id":"ben"}}}"#;
        let rings = self.ring();
        self.post(rings.call, "redirect", &format!(r#"{{"targets":[{ben}]}}"#));
        self.pick_up();
        self.service.hang_up(Instant::ZERO, rings.leg).expect("the leg is there");
        let rings = self.ring();
        self.post(rings.call, "answer", SERVICE_HOSTED);
        self.post(rings.call, "transfer", &format!(r#"{{"transferTarget":{ben}}}"#));
        self.pick_up();
        self.service.hang_up(Instant::ZERO, rings.leg).expect("the leg is there");
        self.drain();
    }

    /// The shortest of some, so that a busy machine does not matter.
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "it measures real time, in a test"
    )]
    fn cost(&mut self) -> Duration {
        let mut shortest = Duration::MAX;
        for _ in 0..30 {
            let began = std::time::Instant::now();
            self.lives();
            shortest = shortest.min(began.elapsed());
        }
        shortest
    }
}

#[test]
fn a_call_costs_the_same_beside_ten_and_beside_ten_thousand() {
    let few = Bare::new(10).cost();
    let mut many = Bare::new(10_000);
    let calls = many.service.load().calls;
    let cost = many.cost();
    println!("{few:?} beside 10 calls, {cost:?} beside {calls}");
    assert_eq!(many.service.load().calls, calls);
    // Maps grow by a few levels and caches miss; anything that looks at every call would
    // cost a hundred times as much.
    assert!(cost < few * 4, "{few:?} beside 10 calls, {cost:?} beside {calls}");
}
