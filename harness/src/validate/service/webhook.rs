//! Where a service somewhere tells its notifications: one listener for all cases, and a
//! mailbox for each, told apart by the first word of the path. What is too large or too
//! much is cut off; a bot that never answers or closes is played by it, too.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use callrig_signaling::http::Headers;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::ground::{Conduct, Told};
use super::sound;

/// Bytes of a notification that are read.
const NOTIFICATION_BYTES_MAX: usize = 1 << 20;
/// Notifications that a mailbox holds; a flood beyond it is forgotten.
const MAILBOX_MAX: usize = 10_000;
/// How long a notification goes unanswered where the webhook never answers.
const NEVER: Duration = Duration::from_secs(120);

/// The notifications of one case.
pub struct Mailbox {
    began: Instant,
    inner: Mutex<Inner>,
    news: Condvar,
}

struct Inner {
    told: VecDeque<Told>,
    conduct: Conduct,
    left: Option<u32>,
}

impl Mailbox {
    fn new() -> Self {
        let inner = Inner { told: VecDeque::new(), conduct: usual(), left: None };
        Self { began: Instant::now(), inner: Mutex::new(inner), news: Condvar::new() }
    }

    /// Since the mailbox is there.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The next notification, if one comes within this time.
    pub fn next(&self, within: Duration) -> Option<Told> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.news.wait_timeout_while(inner, within, |inner| inner.told.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.told.pop_front()
    }

    /// What is done with the next notifications.
    pub fn conduct(&self, conduct: Conduct, count: Option<u32>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        (inner.conduct, inner.left) = (conduct, count);
    }

    fn take(&self, told: Told) -> Conduct {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.told.len() < MAILBOX_MAX {
            inner.told.push_back(told);
        }
        self.news.notify_all();
        let conduct = inner.conduct.clone();
        if let Some(left) = &mut inner.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                (inner.conduct, inner.left) = (usual(), None);
            }
        }
        conduct
    }
}

fn usual() -> Conduct {
    Conduct::Answer(202, Headers::new())
}

/// The listener.
#[derive(Clone)]
pub struct Webhook {
    address: SocketAddr,
    boxes: Arc<Mutex<HashMap<String, Arc<Mailbox>>>>,
}

impl Webhook {
    /// Listens from now on.
    ///
    /// # Errors
    /// The address is taken, or not ours.
    pub fn listen(runtime: &Handle, address: SocketAddr) -> io::Result<Self> {
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let webhook = Self { address, boxes: Arc::default() };
        let serving = webhook.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        Ok(webhook)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A mailbox of this name.
    #[must_use]
    pub fn open(&self, name: &str) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::new());
        let mut boxes = self.boxes.lock().unwrap_or_else(PoisonError::into_inner);
        boxes.insert(name.to_owned(), Arc::clone(&mailbox));
        mailbox
    }

    /// It is not needed any more.
    pub fn close(&self, name: &str) {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    async fn serve(self, stream: TcpStream) {
        let answer = service_fn(move |request| {
            let webhook = self.clone();
            async move { webhook.answer(request).await }
        });
        // What goes wrong with a connection is the other side's business.
        let builder = Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
    }

    /// An error closes the connection without an answer.
    async fn answer(
        &self,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, io::Error> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        if parts.method == hyper::Method::GET {
            let (status, content) = sound::file(&path);
            return Ok(response(status, &Headers::new(), content));
        }
        let body = match Limited::new(body, NOTIFICATION_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Ok(response(413, &Headers::new(), Bytes::new())),
        };
        let name = path.split('/').find(|word| !word.is_empty()).unwrap_or_default();
        let mailbox = {
            let boxes = self.boxes.lock().unwrap_or_else(PoisonError::into_inner);
            boxes.get(name).cloned()
        };
        // Of a case that is over: nobody wants to know.
        let Some(mailbox) = mailbox else {
            return Ok(response(202, &Headers::new(), Bytes::new()));
        };
        let headers = crate::web::headers(&parts.headers);
        let told = Told { at: mailbox.elapsed(), path, headers, body: json(&body) };
        match mailbox.take(told) {
            Conduct::Answer(status, headers) => Ok(response(status, &headers, Bytes::new())),
            Conduct::Close => Err(io::ErrorKind::ConnectionAborted.into()),
            Conduct::Never => {
                tokio::time::sleep(NEVER).await;
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

fn response(status: u16, headers: &Headers, body: Bytes) -> hyper::Response<Full<Bytes>> {
    let mut builder = hyper::Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(body)).unwrap_or_default()
}

/// A body as JSON; what is none as a text.
pub(super) fn json(body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body)
        .unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into())
}
