//! A bot of a few lines over real HTTP: the platform is [`Service`] behind a listener of
//! the test's own, with nothing of the live world around it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Monotonic, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use callrig::app::{App, Call, CallError, Settings};
use callrig_corpora::format::wav;
use callrig_media::description::Description;
use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_signaling::auth::{SigningKey, Tokens};
use callrig_signaling::bot::Target;
use callrig_signaling::exchange::{Input, Output};
use callrig_signaling::graph::{OnlineMeeting, Tone};
use callrig_signaling::http::{Failure, Method, Request, RequestId, Response};
use callrig_signaling::id::{LegId, UserId};
use callrig_signaling::service::directory::{Consent, Directory, Permission, Tenant, User};
use callrig_signaling::service::{self, Authentication, Service, directory};
use rand::Rng as _;
use serde_json::{Value, json};

/// Long enough for a machine that does other things as well; nothing waits for its end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The platform, and who waits for its answers.
struct Platform {
    service: Mutex<(Service, BTreeMap<RequestId, Response>, u64)>,
    began: Monotonic,
    client: reqwest::Client,
}

impl Platform {
    /// Starts it with one app, whose bot is at this port, and Ann; and says where it is.
    async fn start(bot: u16) -> (Arc<Self>, String) {
        callrig::web::choose_cryptography();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let key = SigningKey::generate(|bytes| rand::rng().fill_bytes(bytes)).expect("a key");
        let config = service::Config {
            base_url: base.clone(),
            directory: directory(bot),
            authentication: Authentication::Tokens(Tokens::new(vec![key])),
            ..service::Config::default()
        };
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let epoch = Epoch { ntp: NtpTime::from_unix(unix) };
        let service = Service::new(config, epoch, 1).expect("the config is sound");
        let platform = Arc::new(Self {
            service: Mutex::new((service, BTreeMap::new(), 1 << 32)),
            began: Monotonic::now(),
            client: reqwest::Client::new(),
        });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&platform));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let ticking = Arc::clone(&platform);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                ticking.take(Input::Timeout);
            }
        });
        (platform, base)
    }

    /// Does something with the service, and what it then wants done.
    fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut Service, Instant) -> R) -> R {
        let nanos = u64::try_from(self.began.elapsed().as_nanos()).expect("not for centuries");
        let mut inside = self.service.lock().expect("nobody panics with it in hand");
        let result = act(&mut inside.0, Instant::from_nanos(nanos));
        let outputs: Vec<_> = core::iter::from_fn(|| inside.0.poll_output()).collect();
        for output in outputs {
            match output {
                Output::Response(response) => {
                    inside.1.insert(response.id, response);
                }
                Output::Request(request) => self.send(request),
                Output::Datagram(_) | Output::Event(_) => {}
            }
        }
        result
    }

    /// Sends a request of the platform's, and hands in what comes of it.
    fn send(self: &Arc<Self>, request: Request) {
        let platform = Arc::clone(self);
        tokio::spawn(async move {
            let id = request.id;
            let input = match send(&platform.client, request).await {
                Ok(response) => Input::Response(response),
                Err(error) => Input::Failed(Failure { id, reason: error.to_string() }),
            };
            platform.take(input);
        });
    }

    fn take(self: &Arc<Self>, input: Input) {
        self.with(|service, now| service.handle_input(now, input));
    }

    /// Ann calls the bot; the leg is hers.
    fn ring(self: &Arc<Self>) -> LegId {
        let nowhere = Description::audio(([127, 0, 0, 1], 9).into());
        let rung =
            self.with(|service, now| service.ring_bot(now, &"ann".into(), &"bot".into(), nowhere));
        rung.expect("the bot can be rung").leg
    }
}

fn directory(bot: u16) -> Directory {
    let app = directory::App {
        id: "bot".into(),
        name: "The Bot".into(),
        webhook: Some(format!("http://127.0.0.1:{bot}/api/calls")),
        secret: Some("secret".into()),
    };
    let (language, country) = (None, None);
    let ann = User { id: "ann".into(), name: "Ann".into(), language, country };
    let permissions = [Permission::Initiate, Permission::OnlineMeetingsReadWrite].into();
    let consents = vec![Consent { app: "bot".into(), permissions }];
    let tenant =
        Tenant { id: "contoso".into(), name: "Contoso".into(), users: vec![ann], consents };
    Directory { tenants: vec![tenant], apps: vec![app] }
}

async fn serve(
    State(platform): State<Arc<Platform>>,
    method: http::Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> http::Response<Body> {
    let id = {
        let mut inside = platform.service.lock().expect("nobody panics with it in hand");
        inside.2 += 1;
        RequestId(inside.2)
    };
    let method = Method::parse(method.as_str());
    let request = Request {
        id,
        method,
        uri: uri.to_string(),
        headers: callrig::web::headers(&headers),
        body,
    };
    platform.take(Input::Request(request));
    let answered = platform.service.lock().expect("nobody panics with it in hand").1.remove(&id);
    let response = answered.expect("every request is answered at once");
    let mut builder = http::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::from(response.body)).expect("its headers are sound")
}

async fn send(client: &reqwest::Client, request: Request) -> Result<Response, reqwest::Error> {
    let method = if request.method == Method::Get { "GET" } else { "POST" };
    let method = method.parse().expect("it is a method");
    let mut builder = client.request(method, &request.uri).body(request.body);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let response = builder.send().await?;
    let (status, headers) = (response.status().as_u16(), callrig::web::headers(response.headers()));
    Ok(Response { id: request.id, status, headers, body: response.bytes().await? })
}

/// The platform, and a bot that runs.
async fn start() -> (Arc<Platform>, App) {
    // Each of the two has to know where the other is.
    let listen = crate::free_address();
    let (platform, base) = Platform::start(listen.port()).await;
    let settings = Settings { listen, ..Settings::new("bot", "secret").at(&base) };
    (platform, App::start(settings).await.expect("it starts"))
}

/// A quarter of a second of a square wave.
fn prompt() -> Vec<u8> {
    let samples: Vec<i16> = (0..4000).map(|n| if n % 40 < 20 { 5000 } else { -5000 }).collect();
    let mut file = std::io::Cursor::new(Vec::new());
    wav::write_pcm(&mut file, 16_000, 1, samples).expect("it fits into memory");
    file.into_inner()
}

async fn menu(mut call: Call) -> Result<Tone, CallError> {
    call.answer().await?;
    call.subscribe_to_tone().await?;
    call.play("menu.wav").await?;
    let tone = call.tone().await?;
    call.hang_up().await?;
    Ok(tone)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_of_a_few_lines_answers_plays_and_hears_keys() {
    let (platform, mut app) = start().await;
    app.keep_file("menu.wav", prompt());
    let leg = platform.ring();
    let call = tokio::time::timeout(PATIENCE, app.incoming()).await.expect("in time");
    let call = call.expect("the bot lives");
    assert_eq!(call.caller(), Some("Ann"));
    let bot = tokio::spawn(menu(call));
    let press = async {
        while !bot.is_finished() {
            // Refused until the call is there, and once it is over.
            let _ = platform.with(|service, now| service.press(now, leg, &Tone::Tone5));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, press).await.expect("in time");
    assert_eq!(bot.await.expect("it does not panic"), Ok(Tone::Tone5));
    let over = async {
        while platform.with(|service, _| service.load().calls) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, over).await.expect("nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_refuses_or_answers_comes_back_to_who_asked() {
    let (platform, app) = start().await;
    let nobody = app.call(vec![Target::User("nobody".into())]).await.expect_err("nobody is there");
    assert!(matches!(nobody, CallError::Refused { status: 404, .. }), "{nobody}");
    let ann = UserId::new("ann");
    let plans = OnlineMeeting::from("Plans");
    let made = app.ask(move |bot, now| bot.create_meeting(now, &ann, &plans)).await;
    assert_eq!(made.expect("it is made")["subject"], "Plans");
    let mut call = app.call(vec![Target::User("ann".into())]).await.expect("Ann is there");
    let id = call.id();
    assert_eq!(platform.with(|service, _| service.load().calls), 1);
    call.hang_up().await.expect("it can be hung up");
    assert_eq!(call.media_active().await, Err(CallError::Over), "{id}");
    assert_eq!(call.play("x.wav").await.expect_err("it is over"), CallError::Over);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_nobody_signed_is_not_believed() {
    let (_platform, app) = start().await;
    let url = format!("http://{}/api/calls", app.address());
    let body: Value = json!({ "value": [{
        "changeType": "created",
        "resourceUrl": "/communications/calls/57dab8b1-894c-409a-b240-bd8beae78896",
        "resourceData": { "state": "incoming" },
    }]});
    for token in [None, Some("a.b.c")] {
        let mut request = reqwest::Client::new().post(&url).body(body.to_string());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), 401, "{token:?}");
    }
}
