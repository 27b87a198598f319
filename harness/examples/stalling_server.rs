//! An HTTP server that is quick, but stands still for a while again and again: what a load
//! generator says of it can be compared with the truth.
//!
//! ```text
//! cargo run --release --example stalling_server -- 127.0.0.1:8099 1s 10s
//! ```
//!
//! stands still for the last second of each ten. Of requests that come evenly a tenth waits, from
//! nothing to a second: the 99th percentile is 0.9 s, the 99.9th 0.99 s, the median nothing.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::get;

/// When it began, how long it stands still, and how often.
#[derive(Clone, Copy)]
struct Course {
    began: Instant,
    stall: Duration,
    every: Duration,
}

async fn answer(State(course): State<Course>) -> &'static str {
    let into = course.began.elapsed().as_nanos() % course.every.as_nanos().max(1);
    let into = Duration::from_nanos(u64::try_from(into).unwrap_or(0));
    if into + course.stall >= course.every {
        tokio::time::sleep(course.every - into).await;
    }
    "ok"
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, stall, every] = arguments.as_slice() else {
        anyhow::bail!(
            "three arguments: ADDRESS:PORT, how long it stands still, how often (1s 10s)"
        );
    };
    let (stall, every) = (humantime::parse_duration(stall)?, humantime::parse_duration(every)?);
    let course = Course { began: Instant::now(), stall, every };
    let router = Router::new().fallback(get(answer)).with_state(course);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}
