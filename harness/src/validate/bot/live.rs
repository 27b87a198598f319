//! Scripts in real time, against a bot at its URL: one platform for all of them, each script
//! a rig of its own behind it. The bot sees one base address; a request goes to the rig whose
//! shard is in the call's id. Waits overlap: scripts run side by side, but for those in which
//! the bot begins the call, whose requests name no call yet.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant as Monotonic, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as Asked, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response as Reply};
use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_media::transport::webrtc::{Certificate, CryptoError};
use callrig_signaling::auth::{KeyError, SigningKey};
use callrig_signaling::http::{Method, Request, RequestId, Response};
use callrig_signaling::id::{CallId, RecordingId};
use callrig_signaling::service::WebRtc;
use callrig_signaling::service::{ConfigError, UriPolicy};
use rand::{Rng as _, RngExt as _};
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::rig::{Rig, Setup};
use super::script::{Begins, Script};
use super::transcript::{Transcript, call_of};
use crate::actor::{Actor as _, Input, Output};
use crate::serve::client::{self, Client, ClientError};
use crate::serve::guard::Guard;

/// How many scripts run at once: a bot at a desk is no data centre.
const SIDE_BY_SIDE: usize = 64;
/// How much of a bot's request is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long it may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long a bot may take to answer a notification: as the platform has it.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long a rig may take to answer the bot, and how long a script may take beyond its
/// patience.
const BEYOND: Duration = Duration::from_secs(30);
/// How much waits for a rig; a bot that floods is told to come again.
const INBOX_MAX: usize = 4_096;
/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 2_048;
/// How often the clock is looked at, to find out how busy the machine is.
const TICK: Duration = Duration::from_millis(20);

/// Where the bot is and who it is.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its webhook.
    pub webhook: String,
    /// Its app.
    pub app: String,
    /// Its secret.
    pub secret: String,
    /// Where the platform listens for it.
    pub listen: SocketAddr,
}

/// Why nothing can be played.
#[derive(Debug, Error)]
pub enum LiveError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {0}: {1}; choose another address with --listen")]
    Listen(SocketAddr, io::Error),
    /// No key.
    #[error("no key to sign tokens with: {0}")]
    Key(#[from] KeyError),
    /// No certificate.
    #[error("no certificate for WebRTC: {0}")]
    Certificate(#[from] CryptoError),
    /// No socket.
    #[error("no socket for media: {0}")]
    Media(io::Error),
    /// No client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The platform refuses what it is told.
    #[error(transparent)]
    Service(#[from] ConfigError),
}

/// What was played, and how well the machine kept time.
pub struct Played {
    /// In the order of the scripts.
    pub transcripts: Vec<Transcript>,
    /// By how much the clock was late, but for one time in a hundred: times mean nothing
    /// below that.
    pub lateness: Duration,
}

enum Message {
    Request(Request, oneshot::Sender<Response>),
    Input(Input),
}

/// The rigs that run, and the one at the front desk, which holds no call of a script.
#[derive(Default)]
struct Board {
    rigs: BTreeMap<u16, mpsc::Sender<Message>>,
    /// Which rig waits for a call of the bot's own.
    expecting: Option<u16>,
}

type Shared = Arc<Mutex<Board>>;

/// Plays scripts to a bot; `told` is called after each, with how many are done.
///
/// # Errors
/// The platform cannot be started.
pub async fn play(
    subject: &Subject,
    scripts: &[Script],
    told: impl Fn(usize) + Send + Sync + 'static,
) -> Result<Played, LiveError> {
    crate::web::choose_cryptography();
    let refuse = |error| LiveError::Listen(subject.listen, error);
    let listener = tokio::net::TcpListener::bind(subject.listen).await.map_err(refuse)?;
    let address = listener.local_addr().map_err(refuse)?;
    let board = Shared::default();
    let router = Router::new().fallback(serve).with_state(Arc::clone(&board));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let stage = Arc::new(Stage {
        subject: subject.clone(),
        base: format!("http://{address}"),
        keys: keys()?,
        certificate: Certificate::generate()?,
        client: client()?,
        board,
    });
    let desk = stage.raise(0, Script { begins: Begins::Nothing, ..Script::default() })?;
    let clock = Arc::new(Clock::default());
    let watching = tokio::spawn(Arc::clone(&clock).watch());
    let transcripts = stage.play_all(scripts, told).await?;
    watching.abort();
    desk.abort();
    server.abort();
    Ok(Played { transcripts, lateness: clock.lateness() })
}

/// What every rig needs.
struct Stage {
    subject: Subject,
    base: String,
    keys: [SigningKey; 3],
    certificate: Certificate,
    client: Client,
    board: Shared,
}

impl Stage {
    async fn play_all(
        self: &Arc<Self>,
        scripts: &[Script],
        told: impl Fn(usize) + Send + Sync + 'static,
    ) -> Result<Vec<Transcript>, LiveError> {
        let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
        let alone = Arc::new(Semaphore::new(1));
        let done = Arc::new(core::sync::atomic::AtomicUsize::new(0));
        let told = Arc::new(told);
        let mut tasks = Vec::new();
        for (script, shard) in scripts.iter().cloned().zip(1_u16..) {
            let (stage, places, alone) =
                (Arc::clone(self), Arc::clone(&places), Arc::clone(&alone));
            let (done, told) = (Arc::clone(&done), Arc::clone(&told));
            tasks.push(tokio::spawn(async move {
                let begins = matches!(script.begins, Begins::Ask { .. } | Begins::Meeting { .. });
                let _place = places.acquire().await;
                let _alone = if begins { alone.acquire().await.ok() } else { None };
                let transcript = stage.play_one(shard, script, begins).await;
                told(done.fetch_add(1, core::sync::atomic::Ordering::Relaxed) + 1);
                transcript
            }));
        }
        let mut transcripts = Vec::new();
        for task in tasks {
            let transcript = task.await.unwrap_or_else(|error| {
                let fault = Some(error.to_string());
                Ok(Transcript { fault, ..Transcript::default() })
            });
            transcripts.push(transcript?);
        }
        Ok(transcripts)
    }

    async fn play_one(
        self: &Arc<Self>,
        shard: u16,
        script: Script,
        begins: bool,
    ) -> Result<Transcript, LiveError> {
        let limit = script.patience + script.aftermath + BEYOND;
        let sockets = Sockets::open().await.map_err(LiveError::Media)?;
        let rig = Rig::new(self.setup(shard, &sockets), script)?;
        let written = rig.transcript();
        let inbox = self.enter(shard, begins);
        let run = Arc::clone(self).run(rig, inbox, sockets);
        let over = tokio::time::timeout(limit, run).await;
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.rigs.remove(&shard);
        if board.expecting == Some(shard) {
            board.expecting = None;
        }
        drop(board);
        let mut transcript = written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if over.is_err() {
            transcript.fault.get_or_insert_with(|| format!("it was not over within {limit:?}"));
        }
        Ok(transcript)
    }

    /// A rig that runs until it is told to stop.
    fn raise(
        self: &Arc<Self>,
        shard: u16,
        script: Script,
    ) -> Result<tokio::task::JoinHandle<()>, LiveError> {
        // Its patience is that of a day: it is there for tokens and keys.
        let script = Script { patience: Duration::from_secs(86_400), ..script };
        let sockets = Sockets::default();
        let mut rig = Rig::new(self.setup(shard, &sockets), script)?;
        rig.stay();
        let inbox = self.enter(shard, false);
        Ok(tokio::spawn(Arc::clone(self).run(rig, inbox, sockets)))
    }

    fn enter(&self, shard: u16, begins: bool) -> (mpsc::Sender<Message>, mpsc::Receiver<Message>) {
        let (inbox, messages) = mpsc::channel(INBOX_MAX);
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.rigs.insert(shard, inbox.clone());
        if begins {
            board.expecting = Some(shard);
        }
        (inbox, messages)
    }

    fn setup(&self, shard: u16, sockets: &Sockets) -> Setup {
        let mut addresses = sockets.addresses();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let [key, stranger, later] = self.keys.clone();
        Setup {
            base: self.base.clone(),
            bot: self.subject.webhook.clone(),
            app: self.subject.app.clone(),
            secret: self.subject.secret.clone(),
            shard,
            key,
            others: [stranger, later],
            media: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: 20_000..=20_063,
            webrtc: addresses.next().map(|address| WebRtc {
                address,
                others: addresses.collect(),
                tcp: Vec::new(),
                certificate: self.certificate.clone(),
            }),
            epoch: Epoch { ntp: NtpTime::from_unix(wall) },
            seed: rand::rng().random(),
            uris: UriPolicy::HttpsOrLoopback,
        }
    }

    /// Lets a rig live in real time until its script is over.
    async fn run(
        self: Arc<Self>,
        mut rig: Rig,
        (inbox, mut messages): (mpsc::Sender<Message>, mpsc::Receiver<Message>),
        sockets: Sockets,
    ) {
        let mut datagram = [0_u8; DATAGRAM_BYTES_MAX];
        let began = Monotonic::now();
        let now =
            || Instant::from_nanos(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let mut asked: BTreeMap<RequestId, oneshot::Sender<Response>> = BTreeMap::new();
        let mut count = 0_u64;
        while !rig.is_finished() {
            let sleep = rig.poll_timeout().map_or(BEYOND, |at| at.since(now()));
            let input = tokio::select! {
                message = messages.recv() => match message {
                    Some(Message::Request(mut request, answer)) => {
                        count += 1;
                        request.id = RequestId(count);
                        asked.retain(|_, answer| !answer.is_closed());
                        asked.insert(request.id, answer);
                        Input::Request(request)
                    }
                    Some(Message::Input(input)) => input,
                    None => return,
                },
                came = sockets.receive(&mut datagram) => match came {
                    Some((length, source, destination)) => {
                        let payload = Bytes::copy_from_slice(&datagram[..length]);
                        Input::Datagram(Datagram { source, destination, payload })
                    }
                    None => Input::Timeout,
                },
                () = tokio::time::sleep(sleep) => Input::Timeout,
            };
            rig.handle_input(now(), input);
            while let Some(output) = rig.poll_output() {
                match output {
                    Output::Request(request) => self.send(request, inbox.clone()),
                    Output::Response(response) => {
                        if let Some(answer) = asked.remove(&response.id) {
                            let _ = answer.send(response);
                        }
                    }
                    Output::Datagram(datagram) => {
                        sockets.send(&datagram);
                    }
                    Output::Order(..) | Output::Said(_) => {}
                }
            }
        }
    }

    fn send(&self, request: Request, inbox: mpsc::Sender<Message>) {
        let client = self.client.clone();
        tokio::spawn(async move {
            let input = match client.send(request).await {
                Ok(response) => Input::Response(response),
                Err(failure) => Input::Failed(failure),
            };
            let _ = inbox.send(Message::Input(input)).await;
        });
    }
}

/// Where media is received: at this machine's own address, and at the one by which others reach
/// it, for there are bots that never look at the first (libnice).
#[derive(Default)]
struct Sockets(Vec<(SocketAddr, UdpSocket)>);

impl Sockets {
    async fn open() -> io::Result<Self> {
        let mut sockets = Self::default();
        let outside = outside().await.filter(|ip| !ip.is_loopback());
        for ip in [Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), outside].into_iter().flatten() {
            let socket = UdpSocket::bind((ip, 0)).await?;
            sockets.0.push((socket.local_addr()?, socket));
        }
        Ok(sockets)
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|(address, _)| *address)
    }

    /// The next datagram, from where and to where; never, where there is no socket.
    async fn receive(&self, datagram: &mut [u8]) -> Option<(usize, SocketAddr, SocketAddr)> {
        if self.0.is_empty() {
            return core::future::pending().await;
        }
        let ready = self.0.iter().map(|(_, socket)| Box::pin(socket.readable()));
        let (ready, index, _) = futures_util::future::select_all(ready).await;
        ready.ok()?;
        let (address, socket) = &self.0[index];
        let (length, source) = socket.try_recv_from(datagram).ok()?;
        Some((length, source, *address))
    }

    fn send(&self, datagram: &Datagram) {
        let of = self.0.iter().find(|(address, _)| *address == datagram.source);
        if let Some((_, socket)) = of {
            // What the network does not take is lost, as always.
            let _ = socket.try_send_to(&datagram.payload, datagram.destination);
        }
    }
}

/// The address from which this machine reaches others; nothing is sent to find it out.
async fn outside() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    // Of a network for documentation (RFC 5737).
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).await.ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn keys() -> Result<[SigningKey; 3], KeyError> {
    let make = || SigningKey::generate(|bytes| rand::rng().fill_bytes(bytes));
    Ok([make()?, make()?, make()?])
}

fn client() -> Result<Client, ClientError> {
    Client::new(client::Config {
        guard: Guard::new(UriPolicy::HttpsOrLoopback, Vec::new()),
        trust: Vec::new(),
        requests_max: 1_024,
        attempt_timeout: ANSWER_WITHIN,
        fetch_timeout: Duration::from_secs(10),
        file_bytes_max: 16 << 20,
    })
}

/// How late sleeps of [`TICK`] end: what is measured while it is so is no better.
#[derive(Default)]
struct Clock {
    lates: Mutex<Vec<Duration>>,
}

impl Clock {
    async fn watch(self: Arc<Self>) {
        loop {
            let before = Monotonic::now();
            tokio::time::sleep(TICK).await;
            let late = before.elapsed().saturating_sub(TICK);
            self.lates.lock().unwrap_or_else(PoisonError::into_inner).push(late);
        }
    }

    /// The lateness that one tick in a hundred exceeds.
    fn lateness(&self) -> Duration {
        let mut lates = self.lates.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lates.sort_unstable();
        lates.get(lates.len() * 99 / 100).copied().unwrap_or_default()
    }
}

/// Everything that a bot asks for.
async fn serve(State(board): State<Shared>, asked: Asked) -> Reply {
    let (parts, body) = asked.into_parts();
    let body = match crate::serve::api::read(Body::new(body), BODY_BYTES_MAX, BODY_WITHIN).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let method = Method::parse(parts.method.as_str());
    let creates = method == Method::Post
        && crate::app::hosted::path_of(&path).trim_end_matches('/').ends_with("/calls");
    let headers = crate::web::headers(&parts.headers);
    let request = Request { id: RequestId(0), method, uri: path, headers, body };
    let rig = {
        let board = board.lock().unwrap_or_else(PoisonError::into_inner);
        let named = call_of(&request.uri)
            .and_then(CallId::parse)
            .map(CallId::shard)
            .or_else(|| recording_of(&request.uri).map(RecordingId::shard));
        let shard = named.or(board.expecting.filter(|_| creates)).unwrap_or(0);
        // The rig of a call that is long over has gone: the desk says that it is unknown.
        board.rigs.get(&shard).or_else(|| board.rigs.get(&0)).cloned()
    };
    let (answer, answered) = oneshot::channel();
    let taken = rig.is_some_and(|rig| rig.try_send(Message::Request(request, answer)).is_ok());
    if !taken {
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")]).into_response();
    }
    let Ok(Ok(response)) = tokio::time::timeout(BEYOND, answered).await else {
        return StatusCode::GATEWAY_TIMEOUT.into_response();
    };
    let mut reply = http::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        reply = reply.header(name, value);
    }
    let reply = reply.body(Body::from(response.body));
    reply.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// The recording that a path names.
fn recording_of(uri: &str) -> Option<RecordingId> {
    let path = crate::app::hosted::path_of(uri);
    let mut segments = path.split('/').skip_while(|s| !s.eq_ignore_ascii_case("recordings"));
    segments.nth(1).and_then(RecordingId::parse)
}
