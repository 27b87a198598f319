//! NATS with `JetStream`, and nothing else that knows of it. One stream announces jobs; each job
//! has a stream of shares (a work queue: a share is gone once it is acknowledged) and one of
//! results (numbered by their ids, so that what is sent twice is there once). All of them are on
//! the server's disk, and survive it.

use core::time::Duration;

use async_nats::jetstream::consumer::pull::Config as Pull;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::stream::{self, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{AckKind, Context, Message};
use async_nats::{ConnectOptions, Event, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{FleetError, Job};

const JOBS: &str = "callrig-jobs";
/// What nobody fetches is forgotten after so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// What comes again within this time is known by its id.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);
/// How long one look at a queue waits for something.
const LOOK: Duration = Duration::from_secs(1);
/// How often a share is handed out before it is given up: whoever took it was lost each time.
const DELIVERIES_MAX: i64 = 5;
/// What several make at once is there for all of them after a moment.
const TOGETHER: Duration = Duration::from_millis(150);
/// So often it is looked for.
const TOGETHER_MAX: u32 = 4;
/// While the server is away it is asked again, with pauses that grow to this.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// So long at most.
const AWAY_MAX: Duration = Duration::from_secs(300);

/// A connection.
#[derive(Clone)]
pub struct Engine {
    context: Context,
    patience: Duration,
}

/// Something that was taken from a queue; it is there again after a while unless it is
/// [done](Taken::done).
pub struct Taken {
    message: Message,
}

/// A queue, to take from.
pub struct Queue {
    consumer: PullConsumer,
}

/// How a queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What nobody has taken.
    pub waiting: u64,
    /// What was taken and is not done.
    pub taken: usize,
}

impl Engine {
    /// Connects. A worker that has not been heard of for `patience` counts as lost.
    ///
    /// # Errors
    /// There is nobody, or no `JetStream`.
    pub async fn connect(url: &str, patience: Duration) -> Result<Self, FleetError> {
        let refuse = |reason: String| FleetError::Unreachable { url: url.to_owned(), reason };
        let options = ConnectOptions::new()
            .name("callrig")
            .request_timeout(Some(Duration::from_secs(5)))
            .event_callback(async |event| match event {
                Event::Disconnected => tracing::warn!("NATS is away"),
                Event::Connected => tracing::info!("NATS is there"),
                _ => {}
            });
        let client = options.connect(url).await.map_err(|error| refuse(error.to_string()))?;
        let mut context = async_nats::jetstream::new(client);
        context.set_timeout(Duration::from_secs(5));
        let engine = Self { context, patience };
        engine.jobs().await.map_err(|error| {
            refuse(format!("it answers, but has no JetStream ({error}); start it with -js"))
        })?;
        Ok(engine)
    }

    /// The stream of announcements.
    async fn jobs(&self) -> Result<Stream, FleetError> {
        let config = stream::Config {
            name: JOBS.to_owned(),
            subjects: vec!["callrig.job.*".to_owned()],
            max_age: FORGOTTEN_AFTER,
            max_messages_per_subject: 1,
            storage: StorageType::File,
            ..stream::Config::default()
        };
        let mut tries = TOGETHER_MAX;
        loop {
            tries -= 1;
            match self.context.get_or_create_stream(config.clone()).await {
                Ok(stream) => return Ok(stream),
                Err(error) if tries == 0 => return Err(engine("keep announcements", error)),
                // Whoever makes it in the same moment is the first, and then it is there.
                Err(_) => tokio::time::sleep(TOGETHER).await,
            }
        }
    }

    /// Makes the queues of a job, puts its shares there, and announces it.
    ///
    /// # Errors
    /// The server does not do it.
    pub async fn open(&self, job: &Job, shares: &[Bytes]) -> Result<(), FleetError> {
        let base = |name: &str, retention| stream::Config {
            name: format!("callrig-{name}-{}", job.id),
            subjects: vec![format!("callrig.{name}.{}", job.id)],
            max_age: FORGOTTEN_AFTER,
            duplicate_window: KNOWN_FOR,
            storage: StorageType::File,
            retention,
            ..stream::Config::default()
        };
        for (name, retention) in
            [("share", RetentionPolicy::WorkQueue), ("result", RetentionPolicy::Limits)]
        {
            let made = self.context.get_or_create_stream(base(name, retention)).await;
            made.map_err(|error| engine("make a queue", error))?;
        }
        for (index, share) in shares.iter().enumerate() {
            self.put("share", &job.id, &index.to_string(), share.clone()).await?;
        }
        let text = serde_json::to_vec(job).map_err(|error| engine("take the job", error))?;
        self.publish(format!("callrig.job.{}", job.id), &job.id, text.into()).await
    }

    /// Puts something into a queue of a job (`share` or `result`): once, however often this is
    /// called with the same id.
    ///
    /// # Errors
    /// The server has been away for too long, or does not take it.
    pub async fn put(
        &self,
        queue: &str,
        job: &str,
        id: &str,
        payload: Bytes,
    ) -> Result<(), FleetError> {
        self.publish(format!("callrig.{queue}.{job}"), id, payload).await
    }

    async fn publish(&self, subject: String, id: &str, payload: Bytes) -> Result<(), FleetError> {
        let mut pauses = Pauses::default();
        loop {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", id);
            let sent =
                self.context.publish_with_headers(subject.clone(), headers, payload.clone()).await;
            let taken = match sent {
                Ok(acknowledged) => acknowledged.await.map(|_| ()).map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match taken {
                Ok(()) => return Ok(()),
                Err(reason) if pauses.are_over() => {
                    return Err(engine("take what is put into a queue", reason));
                }
                Err(_) => pauses.pause().await,
            }
        }
    }

    /// How large what is put into a queue may be.
    #[must_use]
    pub fn payload_max(&self) -> usize {
        // A part is for what goes with it.
        self.context.client().server_info().max_payload.saturating_sub(4_096)
    }

    /// The shares or the results of a job, to take from; `None` once the job is over.
    ///
    /// # Errors
    /// The server has been away for too long.
    pub async fn queue(&self, name: &str, job: &str) -> Result<Option<Queue>, FleetError> {
        let mut pauses = Pauses::default();
        loop {
            match self.consumer(name, job).await {
                Ok(consumer) => return Ok(Some(Queue { consumer })),
                Err(_) if self.is_over(job).await == Some(true) => return Ok(None),
                Err(error) if pauses.are_over() => return Err(error),
                Err(_) => pauses.pause().await,
            }
        }
    }

    async fn consumer(&self, name: &str, job: &str) -> Result<PullConsumer, FleetError> {
        let stream = self.context.get_stream(format!("callrig-{name}-{job}")).await;
        let stream = stream.map_err(|error| engine("find a queue", error))?;
        let config = Pull {
            durable_name: Some("callrig".to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.patience,
            max_deliver: if name == "share" { DELIVERIES_MAX } else { -1 },
            ..Pull::default()
        };
        let made = stream.get_or_create_consumer("callrig", config).await;
        made.map_err(|error| engine("hand out what is in a queue", error))
    }

    /// Whether a job is over; `None` if that cannot be known now.
    pub async fn is_over(&self, job: &str) -> Option<bool> {
        use async_nats::jetstream::stream::LastRawMessageErrorKind as Kind;
        let jobs = self.context.get_stream(JOBS).await.ok()?;
        match jobs.get_last_raw_message_by_subject(&format!("callrig.job.{job}")).await {
            Ok(_) => Some(false),
            Err(error) => matches!(error.kind(), Kind::NoMessageFound).then_some(true),
        }
    }

    /// Everything that is announced; what cannot be understood is passed over.
    ///
    /// # Errors
    /// The server does not say.
    pub async fn announced(&self) -> Result<Vec<Job>, FleetError> {
        let jobs = self.jobs().await?;
        let info = jobs.info_with_subjects("callrig.job.*").await;
        let mut info = info.map_err(|error| engine("say what is announced", error))?;
        let mut list = Vec::new();
        while let Some(Ok((subject, _))) = info.next().await {
            let Ok(message) = jobs.get_last_raw_message_by_subject(&subject).await else {
                continue;
            };
            match serde_json::from_slice::<Job>(&message.payload) {
                Ok(job) if subject == format!("callrig.job.{}", job.id) => list.push(job),
                Ok(_) | Err(_) => tracing::warn!(subject, "an announcement that makes no sense"),
            }
        }
        Ok(list)
    }

    /// A job is over: nothing of it stays.
    pub async fn close(&self, job: &str) {
        // Who was away comes back to an announcement that is no longer there; what cannot be
        // deleted now is forgotten after a day.
        if let Ok(jobs) = self.context.get_stream(JOBS).await {
            let _ = jobs.purge().filter(format!("callrig.job.{job}")).await;
        }
        for name in ["share", "result"] {
            let _ = self.context.delete_stream(format!("callrig-{name}-{job}")).await;
        }
    }
}

impl Queue {
    /// The next thing, if there is one soon.
    ///
    /// # Errors
    /// The server does not answer, or the queue is gone.
    pub async fn take(&self) -> Result<Option<Taken>, FleetError> {
        let fetched = self.consumer.fetch().max_messages(1).expires(LOOK).messages().await;
        let mut fetched = fetched.map_err(|error| engine("hand out a share", error))?;
        match fetched.next().await {
            Some(Ok(message)) => Ok(Some(Taken { message })),
            Some(Err(error)) => Err(engine("hand out a share", error)),
            None => Ok(None),
        }
    }

    /// How it stands.
    ///
    /// # Errors
    /// The server does not say.
    pub async fn standing(&self) -> Result<Standing, FleetError> {
        let info = self.consumer.get_info().await;
        let info = info.map_err(|error| engine("say how a queue stands", error))?;
        Ok(Standing { waiting: info.num_pending, taken: info.num_ack_pending })
    }
}

impl Taken {
    /// What it is.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// It takes its time: whoever has it is not lost.
    pub async fn takes_time(&self) {
        // If the server is away, so is everybody else.
        let _ = self.message.ack_with(AckKind::Progress).await;
    }

    /// Waits for what is done with it, and says every now and then that it takes its time.
    pub async fn during<T>(&self, every: Duration, work: impl Future<Output = T>) -> T {
        let mut work = core::pin::pin!(work);
        loop {
            tokio::select! {
                finished = &mut work => return finished,
                () = tokio::time::sleep(every) => self.takes_time().await,
            }
        }
    }

    /// It is done: nobody will take it again. If the server does not hear that, somebody may.
    pub async fn done(&self) {
        let _ = self.message.double_ack().await;
    }
}

/// Pauses that grow.
struct Pauses {
    next: Duration,
    waited: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: Duration::from_millis(50), waited: Duration::ZERO }
    }
}

impl Pauses {
    fn are_over(&self) -> bool {
        self.waited >= AWAY_MAX
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.next).await;
        self.waited += self.next;
        self.next = (self.next * 2).min(PAUSE_MAX);
    }
}

fn engine(what: &'static str, reason: impl core::fmt::Display) -> FleetError {
    FleetError::Engine { what, reason: reason.to_string() }
}
