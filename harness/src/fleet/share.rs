//! The shares of a job, one after the other.

use super::FleetError;
use super::engine::{Engine, Queue, Taken};

/// Takes shares until the job is over; whoever `does` one lets go of it.
///
/// # Errors
/// The server has been away for too long, or a share cannot be done.
pub async fn each<F>(
    engine: &Engine,
    job: &str,
    does: impl Fn(Taken) -> F,
) -> Result<(), FleetError>
where
    F: Future<Output = Result<(), FleetError>>,
{
    'queues: loop {
        let queue = engine.queue("share", job).await?;
        let Some(queue) = queue else { return Ok(()) };
        loop {
            match next(engine, job, &queue).await {
                Next::Share(taken) => does(*taken).await?,
                Next::Nothing => {}
                Next::Away => continue 'queues,
                Next::Over => return Ok(()),
            }
        }
    }
}

enum Next {
    Share(Box<Taken>),
    Nothing,
    /// The server is away, or has forgotten the queue.
    Away,
    Over,
}

async fn next(engine: &Engine, job: &str, queue: &Queue) -> Next {
    match queue.take().await {
        Ok(Some(taken)) => return Next::Share(Box::new(taken)),
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "no share"),
    }
    match engine.is_over(job).await {
        Some(true) => Next::Over,
        Some(false) => Next::Nothing,
        None => Next::Away,
    }
}
