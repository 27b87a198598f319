//! The platform's own requests: notifications to bots, and the fetching of what they want
//! played. One attempt each: again and elsewhere is the platform's decision. Connections
//! are kept and shared per host.

use core::time::Duration;
use std::error::Error as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use callrig_signaling::http::{Failure, Method, Request, Response};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::sync::Semaphore;
use url::{Host, Url};

use super::guard::{Forbidden, Guard};

/// What a bot may say to a notification: nobody reads more.
const REPLY_BYTES_MAX: usize = 256 << 10;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How many idle connections are kept for a host.
const IDLE_MAX: usize = 256;

/// What a client is built from.
#[derive(Debug)]
pub struct Config {
    /// Which addresses may be called.
    pub guard: Guard,
    /// Authorities to trust beside the system's, in DER.
    pub trust: Vec<Vec<u8>>,
    /// How many requests at once; the rest wait.
    pub requests_max: usize,
    /// How long a POST may take.
    pub attempt_timeout: Duration,
    /// How long a file may take.
    pub fetch_timeout: Duration,
    /// Bytes of a file.
    pub file_bytes_max: usize,
}

/// Why a client cannot be built.
#[derive(Debug, Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// Sends the platform's requests.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    plain: reqwest::Client,
    encrypted: reqwest::Client,
    permits: Semaphore,
}

impl Client {
    /// A client without connections.
    ///
    /// # Errors
    /// No trust store, or an authority that is none.
    pub fn new(config: Config) -> Result<Self, ClientError> {
        let plain = build(&config, false)?;
        let encrypted = build(&config, true)?;
        let permits = Semaphore::new(config.requests_max);
        Ok(Self { shared: Arc::new(Shared { config, plain, encrypted, permits }) })
    }

    /// Sends one request.
    ///
    /// # Errors
    /// No answer, for the reason given.
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        let id = request.id;
        let limit = match request.method {
            Method::Get => self.shared.config.fetch_timeout,
            _ => self.shared.config.attempt_timeout,
        };
        match tokio::time::timeout(limit, self.attempt(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(reason)) => Err(Failure { id, reason }),
            Err(_) => Err(Failure { id, reason: format!("no answer within {limit:?}") }),
        }
    }

    async fn attempt(&self, request: Request) -> Result<Response, String> {
        let url = Url::parse(&request.uri).map_err(|error| format!("{error}"))?;
        let client = self.client_for(&url).map_err(|error| error.to_string())?;
        let _permit = self.shared.permits.acquire().await.map_err(|error| error.to_string())?;
        let is_file = request.method == Method::Get;
        let mut builder = client.request(method(request.method), url).body(request.body);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let response = builder.send().await.map_err(|error| explain(&error))?;
        let status = response.status().as_u16();
        let headers = crate::web::headers(response.headers());
        let most = if is_file { self.shared.config.file_bytes_max } else { REPLY_BYTES_MAX };
        let body = read(response, most).await?;
        Ok(Response { id: request.id, status, headers, body })
    }

    /// Which client may call this, if any. Names are checked when they are resolved;
    /// addresses are not resolved, and so are checked here.
    fn client_for(&self, url: &Url) -> Result<&reqwest::Client, Forbidden> {
        let guard = &self.shared.config.guard;
        match url.host() {
            Some(Host::Ipv4(address)) => guard.check(url.as_str(), address.into())?,
            Some(Host::Ipv6(address)) => guard.check(url.as_str(), address.into())?,
            Some(Host::Domain(_)) => {}
            None => return Err(Forbidden::Uri),
        }
        match url.scheme() {
            "https" => Ok(&self.shared.encrypted),
            "http" => Ok(&self.shared.plain),
            _ => Err(Forbidden::Uri),
        }
    }
}

fn build(config: &Config, encrypted: bool) -> Result<reqwest::Client, reqwest::Error> {
    let resolver = Resolver { guard: config.guard.clone(), encrypted };
    let trust: Result<Vec<_>, _> =
        config.trust.iter().map(|der| reqwest::Certificate::from_der(der)).collect();
    reqwest::Client::builder()
        .dns_resolver(resolver)
        // A proxy would resolve names itself, behind the guard's back.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_MAX)
        .tcp_nodelay(true)
        .https_only(encrypted)
        .tls_certs_merge(trust?)
        .build()
}

/// Resolves names, and leaves only what may be called.
#[derive(Debug)]
struct Resolver {
    guard: Guard,
    encrypted: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, encrypted) = (self.guard.clone(), self.encrypted);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = guard.filter(encrypted, name.as_str(), found)?;
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

const fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get | Method::Other => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

/// The body, if it is not larger than that.
async fn read(mut response: reqwest::Response, most: usize) -> Result<Bytes, String> {
    let too_large = |bytes| format!("the answer has {bytes} bytes; the limit is {most}");
    if let Some(length) = response.content_length()
        && length > most as u64
    {
        return Err(too_large(length));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error))? {
        if body.len() + chunk.len() > most {
            return Err(too_large((body.len() + chunk.len()) as u64));
        }
        // Most bodies are one chunk, which need not be copied.
        if body.is_empty() && response.content_length() == Some(chunk.len() as u64) {
            return Ok(chunk);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// What went wrong, down to the cause, without the address that everybody knows.
fn explain(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    words.dedup();
    if words.is_empty() { error.to_string() } else { words.join(": ") }
}
