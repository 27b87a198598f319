//! What the live platform costs beside the least that HTTP can cost: a bare axum handler
//! that answers the same number of requests, and whose client makes the same number of
//! requests of its own, in turns. What counts are the ratios. Single requests come from a
//! process of their own, so that the server's CPU is the server's alone.
//!
//! `cargo bench --bench serve`; `SECONDS=1 CALLS=1000` for a quick look.

use std::collections::HashMap;
use std::future::Future;
use std::io::{Cursor, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use callrig::environment::cpu_time;
use callrig::serve::settings::Settings;
use callrig::serve::{Running, start};
use callrig_signaling::id::{AppId, UserId};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const APP: &str = "11111111-1111-4111-8111-111111111111";
const ANN: &str = "22222222-2222-4222-8222-222222222222";
const TENANT: &str = "33333333-3333-4333-8333-333333333333";
/// How many clients ask at once.
const CLIENTS: usize = 16;
/// How often the two sides take turns.
const ROUNDS: usize = 5;
/// Makes this program a client: `--ask URL`.
const ASK: &str = "--ask";

fn main() {
    let seconds = number("SECONDS", 2);
    let calls = number("CALLS", 10_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(url) = arguments.iter().skip_while(|word| *word != ASK).nth(1) {
        let took = runtime.expect("threads").block_on(ask_all(url, Duration::from_secs(seconds)));
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&took, &mut bytes).expect("it fits into memory");
        std::io::stdout().write_all(&bytes).expect("somebody reads it");
        return;
    }
    runtime.expect("threads").block_on(async {
        requests(Duration::from_secs(seconds)).await;
        set_ups(Duration::from_secs(seconds)).await;
        growth(calls as usize).await;
    });
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Serves a router on a port of its own.
async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn client() -> reqwest::Client {
    callrig::web::choose_cryptography();
    reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client")
}

async fn rig(webhook: &str, more: &str) -> (Running, String) {
    let text = format!(
        r#"
        {more}
        listeners = [{{ address = "127.0.0.1:0" }}]
        [limits]
        calls_per_app_max = 1000000
        requests_per_second_max = 0
        [tokens]
        required = false
        [media]
        ports = "10000-32767"
        [[apps]]
        id = "{APP}"
        name = "bot"
        webhook = "{webhook}"
        [[tenants]]
        id = "{TENANT}"
        users = [{{ id = "{ANN}", name = "Ann" }}]
        "#
    );
    let settings = Settings::parse("bench", &text).expect("it is understood");
    let running = start(settings).await.expect("it starts");
    let base = format!("http://{}", running.addresses()[0].0);
    (running, base)
}

/// Asks again and again from [`CLIENTS`] connections: how long each took, in nanoseconds.
async fn ask_all(url: &str, length: Duration) -> Histogram<u64> {
    let began = Instant::now();
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (client, url) = (client(), url.to_owned());
            tokio::spawn(async move {
                let mut took = empty();
                while began.elapsed() < length {
                    let asked = Instant::now();
                    let answer = client.get(&url).bearer_auth(APP).send().await;
                    let answer = answer.expect("an answer");
                    assert_eq!(answer.status(), StatusCode::OK);
                    answer.bytes().await.expect("a body");
                    took.saturating_record(asked.elapsed().as_nanos() as u64);
                }
                took
            })
        })
        .collect();
    let mut all = empty();
    for task in tasks {
        all.add(task.await.expect("it ends")).expect("the same bounds");
    }
    all
}

/// [`ask_all`] in a process of its own, and the CPU that it cost this one.
async fn asked(url: &str) -> (Histogram<u64>, Duration) {
    let before = used();
    let this = std::env::current_exe().expect("it runs");
    let mut child = Command::new(this);
    child.args([ASK, url]).stderr(Stdio::inherit());
    let said = tokio::task::spawn_blocking(move || child.output()).await;
    let said = said.expect("it does not panic").expect("it starts");
    assert!(said.status.success(), "the client of {url} ended with {}", said.status);
    let took = Deserializer::new().deserialize(&mut Cursor::new(said.stdout));
    (took.expect("a histogram"), used() - before)
}

/// The processor time of this process.
fn used() -> Duration {
    cpu_time().expect("this system counts it")
}

/// One side of a comparison.
struct Side {
    name: &'static str,
    rates: Vec<f64>,
    took: Histogram<u64>,
    /// Of the server, for a request.
    cpu_us: Vec<f64>,
}

impl Side {
    fn new(name: &'static str) -> Self {
        Self { name, rates: Vec::new(), took: empty(), cpu_us: Vec::new() }
    }

    fn add(&mut self, took: &Histogram<u64>, length: Duration) {
        self.rates.push(took.len() as f64 / length.as_secs_f64());
        self.took.add(took).expect("the same bounds");
    }

    fn tell(&self) {
        let (rate, cpu) = (median(&self.rates), median(&self.cpu_us));
        let (half, most) = (micros(&self.took, 0.5), micros(&self.took, 0.99));
        print!("  {:<9} {rate:>9.0}/s  p50 {half:>6.0} us  p99 {most:>6.0} us", self.name);
        println!(
            "{}",
            if cpu.is_nan() { String::new() } else { format!("  server CPU {cpu:.1} us") }
        );
    }
}

/// The second beside the first, by the rounds.
fn quotient(ours: &[f64], bare: &[f64]) -> f64 {
    median(&ours.iter().zip(bare).map(|(ours, bare)| ours / bare).collect::<Vec<_>>())
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are sound")
}

fn micros(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// GET of a call against a bare handler that answers as many bytes.
async fn requests(length: Duration) {
    let part = Part::new(true);
    let router = Router::new().fallback(post(notified)).with_state(Arc::clone(&part));
    let bot = listen(router).await;
    let (running, base) = rig(&format!("http://{bot}/"), "").await;
    *part.api.lock().await = base.clone();
    let call = {
        // Held, so that nobody is told of the call before it is waited for.
        let mut waiting = part.waiting.lock().await;
        let call = ring(&running).await;
        let (sender, established) = oneshot::channel();
        waiting.insert(call.clone(), sender);
        drop(waiting);
        established.await.expect("the call is established");
        call
    };
    let url = format!("{base}/v1.0/communications/calls/{call}");
    let body = client().get(&url).bearer_auth(APP).send().await.expect("an answer");
    let body = body.bytes().await.expect("a body");
    let bytes = body.len();
    let router = Router::new().route("/call", get(move || async move { body }));
    let bare_url = format!("http://{}/call", listen(router).await);
    let (mut bare, mut ours) = (Side::new("bare axum"), Side::new("callrig"));
    for _ in 0..ROUNDS {
        for (side, url) in [(&mut bare, &bare_url), (&mut ours, &url)] {
            let (took, cpu) = asked(url).await;
            side.add(&took, length);
            side.cpu_us.push(cpu.as_secs_f64() * 1e6 / took.len() as f64);
        }
    }
    println!("GET of a call, {bytes} bytes, {CLIENTS} connections of another process");
    bare.tell();
    ours.tell();
    println!(
        "  ratio     {:.2} of the rate, {:.2} x the server's CPU, p99 {:.2} x",
        quotient(&ours.rates, &bare.rates),
        quotient(&ours.cpu_us, &bare.cpu_us),
        micros(&ours.took, 0.99) / micros(&bare.took, 0.99)
    );
    running.stop().await;
}

/// Rings without HTTP, as a person's phone does.
async fn ring(running: &Running) -> String {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let offer = callrig_media::description::Description::audio(nowhere);
    let shard = running.live().shard(callrig::serve::api::home_of(running.live(), APP));
    let rung = shard.expect("there is one").ask(move |inside| {
        let (user, app) = (UserId::new(ANN), AppId::new(APP));
        inside.actor.service.ring_bot(inside.now, &user, &app, offer)
    });
    rung.await.expect("it answers").expect("there is room").call.to_string()
}

/// What a bot needs to know to do its part.
struct Part {
    client: reqwest::Client,
    api: Mutex<String>,
    waiting: Mutex<HashMap<String, oneshot::Sender<()>>>,
    /// Notifications of all calls so far.
    told: AtomicU64,
    /// Whether calls are left standing once they are established.
    stays: bool,
}

impl Part {
    fn new(stays: bool) -> Arc<Self> {
        Arc::new(Self {
            client: client(),
            api: Mutex::default(),
            waiting: Mutex::default(),
            told: AtomicU64::new(0),
            stays,
        })
    }

    async fn finish(&self, call: &str) {
        if let Some(waiting) = self.waiting.lock().await.remove(call) {
            let _ = waiting.send(());
        }
    }

    async fn answer(&self, call: &str) {
        let url = format!("{}/v1.0/communications/calls/{call}/answer", self.api.lock().await);
        let body = json!({
            "mediaConfig": { "@odata.type": "#microsoft.graph.serviceHostedMediaConfig" },
        });
        let answer = self.client.post(url).bearer_auth(APP).json(&body).send().await;
        assert_eq!(answer.expect("an answer").status(), StatusCode::ACCEPTED);
    }

    async fn delete(&self, call: &str) {
        let url = format!("{}/v1.0/communications/calls/{call}", self.api.lock().await);
        let answer = self.client.delete(url).bearer_auth(APP).send().await;
        assert_eq!(answer.expect("an answer").status(), StatusCode::NO_CONTENT);
    }
}

/// The bot of a real call.
async fn notified(State(part): State<Arc<Part>>, body: Bytes) -> StatusCode {
    part.told.fetch_add(1, Ordering::Relaxed);
    let envelope: Value = serde_json::from_slice(&body).expect("JSON");
    let data = &envelope["value"][0]["resourceData"];
    let (state, media) = (data["state"].as_str(), !data["mediaState"].is_null());
    let call = data["id"].as_str().unwrap_or_default().to_owned();
    match (state, media) {
        (Some("incoming"), _) => {
            tokio::spawn(async move { part.answer(&call).await });
        }
        // The last of those that say so.
        (Some("established"), true) if part.stays => part.finish(&call).await,
        (Some("established"), true) => {
            tokio::spawn(async move { part.delete(&call).await });
        }
        (Some("terminated"), _) => part.finish(&call).await,
        _ => {}
    }
    StatusCode::ACCEPTED
}

/// A platform without any sense: it answers what the real one answers, and posts as many
/// notifications, in the same order, after the same requests.
#[derive(Clone)]
struct Bare {
    client: reqwest::Client,
    bot: Arc<Mutex<String>>,
    after_answer: u64,
    after_delete: u64,
    body: Bytes,
}

impl Bare {
    fn notify(&self, call: String, first: u64, count: u64) {
        let bare = self.clone();
        tokio::spawn(async move {
            for number in first..first + count {
                let url = format!("{}/{call}/{number}", bare.bot.lock().await);
                let body = bare.body.clone();
                let kind = "application/json";
                let told = bare.client.post(url).header("content-type", kind).body(body).send();
                told.await.expect("an answer").bytes().await.expect("a body");
            }
        });
    }
}

async fn bare_platform(bare: Bare) -> String {
    let router = Router::new()
        .route(
            "/v1.0/communications/calls/{call}/answer",
            post(|State(bare): State<Bare>, Path(call): Path<String>, _: Bytes| async move {
                let count = bare.after_answer;
                bare.notify(call, 1, count);
                StatusCode::ACCEPTED
            }),
        )
        .route(
            "/v1.0/communications/calls/{call}",
            axum::routing::delete(
                |State(bare): State<Bare>, Path(call): Path<String>| async move {
                    let (first, count) = (1 + bare.after_answer, bare.after_delete);
                    bare.notify(call, first, count);
                    StatusCode::NO_CONTENT
                },
            ),
        )
        .with_state(bare);
    format!("http://{}", listen(router).await)
}

/// The bot of a call of the bare platform: it does the same after as many notifications.
async fn bare_bot(part: Arc<Part>, after_answer: u64, after_delete: u64) -> String {
    let told = move |State(part): State<Arc<Part>>,
                     Path((call, number)): Path<(String, u64)>,
                     body: Bytes| async move {
        // Any bot reads what it is told.
        let _: Value = serde_json::from_slice(&body).expect("JSON");
        if number == 0 {
            tokio::spawn(async move { part.answer(&call).await });
        } else if number == after_answer {
            tokio::spawn(async move { part.delete(&call).await });
        } else if number == after_answer + after_delete {
            part.finish(&call).await;
        }
        StatusCode::ACCEPTED
    };
    let router = Router::new().route("/{call}/{number}", post(told)).with_state(part);
    format!("http://{}", listen(router).await)
}

type Began = Pin<Box<dyn Future<Output = String> + Send>>;

/// Sets calls up and takes them down, [`CLIENTS`] at once: how long each took.
async fn set_up_all(
    part: &Arc<Part>,
    begin: impl Fn() -> Began + Clone + Send + Sync + 'static,
    length: Duration,
) -> Histogram<u64> {
    let began = Instant::now();
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (part, begin) = (Arc::clone(part), begin.clone());
            tokio::spawn(async move {
                let mut took = empty();
                while began.elapsed() < length {
                    let rung = Instant::now();
                    let done = {
                        // Held, so that nobody is told of the end before it is waited for.
                        let mut waiting = part.waiting.lock().await;
                        let (sender, done) = oneshot::channel();
                        waiting.insert(begin().await, sender);
                        done
                    };
                    done.await.expect("the call ends");
                    took.saturating_record(rung.elapsed().as_nanos() as u64);
                }
                took
            })
        })
        .collect();
    let mut all = empty();
    for task in tasks {
        all.add(task.await.expect("it ends")).expect("the same bounds");
    }
    all
}

fn ringer(running: &Arc<Running>) -> impl Fn() -> Began + Clone + Send + Sync + 'static {
    let running = Arc::clone(running);
    move || -> Began {
        let running = Arc::clone(&running);
        Box::pin(async move { ring(&running).await })
    }
}

/// Ring, answer, established, delete, terminated; against the same number of requests.
async fn set_ups(length: Duration) {
    let part = Part::new(false);
    let router = Router::new().fallback(post(notified)).with_state(Arc::clone(&part));
    let bot = listen(router).await;
    let (running, base) = rig(&format!("http://{bot}/"), "").await;
    let running = Arc::new(running);
    *part.api.lock().await = base.clone();
    let warm = set_up_all(&part, ringer(&running), Duration::from_millis(200)).await;
    let notifications = part.told.load(Ordering::Relaxed) / warm.len();
    // One announces the call, and the last one ends it.
    let (after_answer, after_delete) = (notifications - 3, 2);
    let bare_part = Part::new(false);
    let bare = Bare {
        client: client(),
        bot: Arc::default(),
        after_answer,
        after_delete,
        body: sample().into(),
    };
    *bare.bot.lock().await = bare_bot(Arc::clone(&bare_part), after_answer, after_delete).await;
    *bare_part.api.lock().await = bare_platform(bare.clone()).await;
    let count = Arc::new(AtomicU64::new(0));
    let begin = move || -> Began {
        let (bare, count) = (bare.clone(), Arc::clone(&count));
        Box::pin(async move {
            let call = format!("call-{}", count.fetch_add(1, Ordering::Relaxed));
            bare.notify(call.clone(), 0, 1);
            call
        })
    };
    let (mut without, mut ours) = (Side::new("bare axum"), Side::new("callrig"));
    for _ in 0..ROUNDS {
        let took = set_up_all(&bare_part, begin.clone(), length).await;
        without.add(&took, length);
        let took = set_up_all(&part, ringer(&running), length).await;
        ours.add(&took, length);
    }
    println!("Calls set up and taken down: 2 requests and {notifications} notifications each");
    without.tell();
    ours.tell();
    println!(
        "  ratio     {:.2} of the rate, p99 {:.2} x",
        quotient(&ours.rates, &without.rates),
        micros(&ours.took, 0.99) / micros(&without.took, 0.99)
    );
    figures(&base).await;
}

/// A notification as they are.
fn sample() -> String {
    let filler = "x".repeat(700);
    json!({ "value": [{ "changeType": "updated", "resourceData": { "filler": filler } }] })
        .to_string()
}

/// What the server itself says of how long things took.
async fn figures(base: &str) {
    let text = client().get(format!("{base}/metrics")).send().await.expect("an answer");
    let text = text.text().await.expect("text");
    let wanted = ["callrig_step_seconds", "callrig_notification_seconds_bucket"];
    for line in text.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name))) {
        println!("    {line}");
    }
}

/// What a call costs when there are few and when there are many, and what an idle one
/// keeps.
async fn growth(most: usize) {
    let part = Part::new(true);
    let router = Router::new().fallback(post(notified)).with_state(Arc::clone(&part));
    let bot = listen(router).await;
    let (running, base) = rig(&format!("http://{bot}/"), "server.shards = 1").await;
    let running = Arc::new(running);
    *part.api.lock().await = base;
    println!("Established calls that stay (one shard)");
    let (mut standing, mut resident) = (0, resident_kb());
    for target in [10, 100, 1_000, most] {
        if target <= standing {
            continue;
        }
        let began = Instant::now();
        let wanted = target - standing;
        let mut took = empty();
        let mut tasks = tokio::task::JoinSet::new();
        for first in 0..CLIENTS {
            let (part, begin) = (Arc::clone(&part), ringer(&running));
            tasks.spawn(async move {
                let mut took = empty();
                for _ in (first..wanted).step_by(CLIENTS) {
                    let rung = Instant::now();
                    let done = {
                        let mut waiting = part.waiting.lock().await;
                        let (sender, done) = oneshot::channel();
                        waiting.insert(begin().await, sender);
                        done
                    };
                    done.await.expect("the call is established");
                    took.saturating_record(rung.elapsed().as_nanos() as u64);
                }
                took
            });
        }
        while let Some(some) = tasks.join_next().await {
            took.add(some.expect("it ends")).expect("the same bounds");
        }
        let rate = wanted as f64 / began.elapsed().as_secs_f64();
        let now = resident_kb();
        println!(
            "  to {target:>6}: {rate:>7.0} set up/s, p50 {:>6.0} us, p99 {:>6.0} us, {:>6.1} kB each",
            micros(&took, 0.5),
            micros(&took, 0.99),
            (now as f64 - resident as f64) / wanted as f64,
        );
        (standing, resident) = (target, now);
    }
    if let Ok(running) = Arc::try_unwrap(running) {
        let began = Instant::now();
        let left = running.stop().await;
        println!("  ended and told in {:?}, {left} not", began.elapsed());
    }
}

/// Resident memory of this process.
fn resident_kb() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    pages * 4
}
