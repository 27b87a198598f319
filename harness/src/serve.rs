//! The platform over real HTTP and UDP: [`start`] brings up the shards of the live world,
//! the people, the listeners, and what joins them; [`Running::stop`] ends calls properly
//! before it takes them down.

pub mod api;
pub mod client;
pub mod console;
pub mod gauges;
pub mod guard;
pub mod hands;
pub mod library;
pub mod listen;
pub mod openapi;
pub mod rig;
pub mod settings;
pub mod timeline;
pub mod tls;
pub mod watch;

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use callrig_media::transport::webrtc::Certificate;
use callrig_signaling::auth::{KeyError, SigningKey, Tokens};
use callrig_signaling::service::{self, Authentication, Service, WebRtc};
use rand::RngExt as _;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::watch as signal;

use crate::world::live::Time;
use crate::world::live::people::{Habits, People};
use crate::world::live::platform::Platform;
use crate::world::live::shard::{self, Handle, Inbox, Unavailable};
use crate::world::live::sockets;
use client::Client;
use gauges::Gauges;
use guard::Guard;
use hands::{Busy, Hands};
use library::Library;
use settings::{Listener, Settings};
use timeline::{Timeline, What};
use tls::Identity;

/// At most so many shards without being told; a call is cheap, and cores have other work.
const SHARDS_USUAL_MAX: usize = 16;
/// How long connections may take to close once nothing is left to be said.
const CLOSING: Duration = Duration::from_secs(2);
/// How often what was recorded for Prometheus is put into its buckets.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// Why a server cannot be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The service refuses what it is told.
    #[error(transparent)]
    Service(#[from] service::ConfigError),
    /// No certificate.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// No key to sign tokens with.
    #[error("tokens.key: {0}")]
    Key(#[from] KeyError),
    /// No client.
    #[error(transparent)]
    Client(#[from] client::ClientError),
    /// An address is taken, or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No threads, descriptors, or the like.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// Fewer ports than shards.
    #[error("media.ports has fewer ports than there are shards")]
    Ports,
}

/// Everything that is alive, for those who handle requests.
#[derive(Debug)]
pub struct Live {
    /// The threads that hold calls.
    pub shards: Vec<Handle<Platform>>,
    /// The people.
    pub people: Handle<People>,
    /// Those who watch.
    pub timeline: Arc<Timeline>,
    /// Those who count.
    pub gauges: Arc<Gauges>,
    /// What people can speak.
    pub library: Library,
    /// What the server was told.
    pub settings: Settings,
    /// Where it is, for links.
    pub base_url: String,
    /// The authority that bots have to trust, in PEM, if it is ours.
    pub authority: Option<String>,
    /// Whether it is on its way out: no new calls.
    pub draining: AtomicBool,
    /// Open connections.
    pub connections: AtomicUsize,
    /// Changes when endless answers have to end.
    pub closing: signal::Receiver<bool>,
}

/// A server that runs.
pub struct Running {
    live: Arc<Live>,
    addresses: Vec<(SocketAddr, bool)>,
    listeners: listen::Listeners,
    closing: signal::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts everything, on the current runtime.
///
/// # Errors
/// Whatever cannot be had: addresses, certificates, threads.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    crate::web::choose_cryptography();
    raise_descriptors();
    let wanted = match settings.listeners.is_empty() {
        true => Listener::usual(),
        false => settings.listeners.clone(),
    };
    let bound = bind(&wanted).await?;
    let hosts: Vec<IpAddr> = bound.iter().map(|(_, address, _)| address.ip()).collect();
    let identity = Identity::new(&settings.tls, &hosts)?;
    let addresses: Vec<_> = bound.iter().map(|(_, address, tls)| (*address, *tls)).collect();
    let base_url = settings.server.base_url.clone().unwrap_or_else(|| url_of(&addresses));
    let timeline = Arc::new(Timeline::new(settings.rig.history_max));
    let gauges = Arc::new(Gauges::new().map_err(io::Error::other)?);
    let (closing, closes) = signal::channel(false);
    let client = client(&settings, &identity)?;
    let (shards, people, threads) = raise(&settings, &base_url, &client, (&timeline, &gauges))?;
    let live = Arc::new(Live {
        shards,
        people,
        timeline,
        gauges,
        library: Library::new(settings.rig.corpora.clone(), settings.rig.recordings_bytes_max),
        base_url,
        authority: identity.authority.clone(),
        settings,
        draining: AtomicBool::new(false),
        connections: AtomicUsize::new(0),
        closing: closes,
    });
    let listeners = listen::Listeners::start(bound, &identity, &live);
    rig::keys::rotate(&live);
    tidy(&live);
    Ok(Running { live, addresses, listeners, closing, threads })
}

/// Keeps what is recorded for Prometheus small where nobody asks for it, while the server is there.
fn tidy(live: &Arc<Live>) {
    let (live, mut closing) = (Arc::clone(live), live.closing.clone());
    tokio::spawn(async move {
        while tokio::time::timeout(TIDY_EVERY, closing.changed()).await.is_err() {
            live.gauges.tidy();
        }
    });
}

impl Running {
    /// Where it listens, and whether TLS is spoken there.
    #[must_use]
    pub fn addresses(&self) -> &[(SocketAddr, bool)] {
        &self.addresses
    }

    /// Everything that is alive.
    #[must_use]
    pub const fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Ends every call, delivers what is to be told of it, and takes everything down.
    /// Says how many calls could not be told of in time.
    pub async fn stop(self) -> usize {
        self.live.draining.store(true, Ordering::Relaxed);
        for shard in &self.live.shards {
            let ended = shard.ask(|inside| inside.actor.service.shut_down(inside.now)).await;
            if let Err(error) = ended {
                tracing::error!(%error, "a shard could not end its calls");
            }
        }
        let grace = self.live.settings.server.grace;
        let left = match tokio::time::timeout(grace, self.delivered()).await {
            Ok(()) => 0,
            Err(_) => self.undelivered().await,
        };
        let _ = self.closing.send(true);
        self.listeners.stop(CLOSING).await;
        for shard in &self.live.shards {
            shard.stop().await;
        }
        self.live.people.stop().await;
        // They end at once: each has taken the word in already, or will with its next turn.
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().filter_map(|thread| thread.join().err()).count()
        });
        if joined.await.unwrap_or(0) > 0 {
            tracing::error!("a thread of the live world had failed");
        }
        left
    }

    async fn delivered(&self) {
        while self.undelivered().await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn undelivered(&self) -> usize {
        let mut left = 0;
        for shard in &self.live.shards {
            left += shard.ask(|inside| inside.actor.service.load().outboxes).await.unwrap_or(0);
        }
        left
    }
}

impl Live {
    /// The shard of this number.
    ///
    /// # Errors
    /// There is none.
    pub fn shard(&self, number: u16) -> Result<&Handle<Platform>, Unavailable> {
        self.shards.get(usize::from(number)).ok_or(Unavailable::Gone)
    }

    /// Whether no new calls are taken.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

async fn bind(wanted: &[Listener]) -> Result<Vec<(TcpListener, SocketAddr, bool)>, StartError> {
    let mut bound = Vec::new();
    for Listener { address, tls } in wanted {
        let refuse = |source| StartError::Listen { address: *address, source };
        let listener = TcpListener::bind(address).await.map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        bound.push((listener, address, *tls));
    }
    Ok(bound)
}

/// How a client on this machine reaches the first of these.
fn url_of(addresses: &[(SocketAddr, bool)]) -> String {
    let Some((address, tls)) = addresses.first() else { return String::new() };
    let scheme = if *tls { "https" } else { "http" };
    match address.ip() {
        ip if ip.is_unspecified() || *tls => format!("{scheme}://localhost:{}", address.port()),
        _ => format!("{scheme}://{address}"),
    }
}

fn client(settings: &Settings, identity: &Identity) -> Result<Client, StartError> {
    let mut trust: Vec<Vec<u8>> = identity.authority_der.iter().cloned().collect();
    for path in &settings.callbacks.trust {
        trust.extend(tls::read_certificates(path)?);
    }
    Ok(Client::new(client::Config {
        guard: Guard::new(settings.callbacks.uris.into(), settings.callbacks.networks.clone()),
        trust,
        requests_max: settings.callbacks.requests_max,
        attempt_timeout: settings.delivery.attempt_timeout,
        fetch_timeout: settings.limits.prompt_fetch,
        file_bytes_max: settings.limits.prompt_bytes_max,
    })?)
}

type Raised = (Vec<Handle<Platform>>, Handle<People>, Vec<JoinHandle<()>>);

/// Brings up the threads of the live world.
fn raise(
    settings: &Settings,
    base_url: &str,
    client: &Client,
    (timeline, gauges): (&Arc<Timeline>, &Arc<Gauges>),
) -> Result<Raised, StartError> {
    let count = match settings.server.shards {
        Some(count) => usize::from(count.get()),
        None => std::thread::available_parallelism()?.get().min(SHARDS_USUAL_MAX),
    };
    let time = Time::begin();
    let authentication = authentication(settings)?;
    let certificate = Certificate::generate().map_err(io::Error::other)?;
    let inboxes: Vec<(Handle<Platform>, Inbox<Platform>)> =
        (0..count).map(|_| shard::inbox()).collect::<io::Result<_>>()?;
    let handles: Vec<_> = inboxes.iter().map(|(handle, _)| handle.clone()).collect();
    let (people, people_inbox) = shard::inbox()?;
    let mut threads = Vec::new();
    for (number, (handle, mut inbox)) in inboxes.into_iter().enumerate() {
        let ports = share(&settings.media.ports, number, count).ok_or(StartError::Ports)?;
        let config = service::Config {
            authentication: authentication.clone(),
            webrtc: Some(webrtc(&settings.media, &mut inbox, &certificate)?),
            ..service_config(settings, base_url, number, ports)
        };
        let seed = rand::rng().random();
        let service = Service::new(config, time.epoch(), seed)?;
        let hands = Busy::new(Hands {
            runtime: runtime::Handle::current(),
            client: client.clone(),
            shard: handle,
            people: people.clone(),
            timeline: Arc::clone(timeline),
            gauges: Arc::clone(gauges),
        });
        let name = format!("shard-{number}");
        threads.push(shard::spawn(&name, inbox, time, Platform::new(service), hands)?);
    }
    let watched = Arc::clone(timeline);
    let ear = Box::new(move |leg, event: &callrig_media::event::Event| {
        watched.push(|| What::Phone(leg, Box::new(event.clone())));
    });
    let everybody = People::new(settings.media.address, time.epoch(), handles.clone(), ear);
    let habits = Habits { runtime: runtime::Handle::current(), people: people.clone() };
    threads.push(shard::spawn("people", people_inbox, time, everybody, habits)?);
    Ok((handles, people, threads))
}

/// Where a shard is reached by WebRTC: one port for all of its peers, at each address.
fn webrtc(
    media: &settings::Media,
    inbox: &mut Inbox<Platform>,
    certificate: &Certificate,
) -> Result<WebRtc, StartError> {
    let address = inbox.open(SocketAddr::new(media.address, 0))?;
    let mut others = Vec::new();
    match &media.webrtc {
        Some(told) => {
            for ip in told.iter().filter(|ip| **ip != media.address) {
                let wanted = SocketAddr::new(*ip, 0);
                let refuse = |source| StartError::Listen { address: wanted, source };
                others.push(inbox.open(wanted).map_err(refuse)?);
            }
        }
        // What nobody asked for may fail.
        None => others.extend(
            on_the_network()
                .filter(|ip| *ip != media.address)
                .and_then(|ip| inbox.open(SocketAddr::new(ip, 0)).ok()),
        ),
    }
    let mut tcp = Vec::new();
    if media.tcp {
        for udp in [address].iter().chain(&others) {
            // Never at the number that UDP has there: the two ends tell a way from another.
            let listening = inbox.listen(SocketAddr::new(udp.ip(), 0))?;
            match listening.port() == udp.port() {
                true => tcp.push(inbox.listen(SocketAddr::new(udp.ip(), 0))?),
                false => tcp.push(listening),
            }
        }
    }
    Ok(WebRtc { address, others, tcp, certificate: certificate.clone() })
}

/// This machine's address on its network: where a datagram to the outside would come from.
/// None is sent.
fn on_the_network() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((core::net::Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address of documentation (RFC 5737); any that needs the default route does.
    socket.connect((core::net::Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// The ports of one shard.
fn share(ports: &RangeInclusive<u16>, number: usize, count: usize) -> Option<RangeInclusive<u16>> {
    let (first, all) = (usize::from(*ports.start()), ports.len());
    let begin = first + all * number / count;
    let end = first + all * (number + 1) / count;
    (begin < end).then(|| begin as u16..=(end - 1) as u16)
}

fn service_config(
    settings: &Settings,
    base_url: &str,
    number: usize,
    ports: RangeInclusive<u16>,
) -> service::Config {
    service::Config {
        base_url: base_url.to_owned(),
        shard: number as u16,
        media_address: settings.media.address,
        media_ports: ports,
        is_free: sockets::is_free,
        directory: settings.directory(),
        limits: (&settings.limits).into(),
        delivery: service::Delivery {
            quirks: service::Quirks {
                established_first: settings.quirks.established_first,
                pascal_case: settings.quirks.pascal_case,
            },
            ..(&settings.delivery).into()
        },
        uris: settings.callbacks.uris.into(),
        announce_ringing: settings.quirks.announce_ringing,
        rosters_after_escalation: settings.quirks.rosters_after_escalation,
        may_remove_participants: settings.policies.may_remove_participants.clone(),
        ..service::Config::default()
    }
}

/// How callers are known: every shard takes the tokens that any of them made.
fn authentication(settings: &Settings) -> Result<Authentication, StartError> {
    if !settings.tokens.required {
        return Ok(Authentication::ByName);
    }
    let key = match &settings.tokens.key {
        Some(path) => {
            let refuse = |source| tls::TlsError::File { what: "read", path: path.clone(), source };
            let pem = std::fs::read_to_string(path).map_err(refuse)?;
            SigningKey::from_pkcs8_pem(&pem)?
        }
        None => rig::keys::generate()?,
    };
    let announced = settings.tokens.announced;
    Ok(Authentication::Tokens(Tokens { announced, ..Tokens::new(vec![key]) }))
}

/// Each call has a socket and each client a connection: as many descriptors as the system
/// allows this process.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::debug!(%error, "the limit of descriptors stays as it is");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_are_shared_out_without_gaps_or_overlaps() {
        let ports = 20_000..=20_009;
        let shares: Vec<_> = (0..3).filter_map(|number| share(&ports, number, 3)).collect();
        assert_eq!(shares, [20_000..=20_002, 20_003..=20_005, 20_006..=20_009]);
        assert_eq!(share(&(1..=1), 0, 2), None);
    }
}
