//! L2: `callrig load` under a burner, against a server of known slowness. However late the
//! generator is, it must not call met what is broken, or broken what is met.

use core::num::NonZero;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path as At, State};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use crate::twins::Burner;
use crate::{Study, at_most, binary};

/// A load of so many calls in a second, and for how long.
const RATE: usize = 100;
const SECONDS: usize = 10;
/// How many loads run at once; the server has a thread of its own.
const AT_ONCE: usize = 12;
/// An objective that wants every hundredth answer at most to be slower.
const SLO: &str = "p(99)<20ms";
/// What is slow takes so long, in milliseconds; what is not, no time at all.
const SLOW: core::ops::Range<u64> = 40..200;
/// Of a hundred answers so many are slow: well below the objective, just below, just above, and
/// well above it.
const SHARES: [f64; 6] = [0.0, 0.003, 0.007, 0.013, 0.02, 0.06];
/// Priorities of the generator: as others, or hardly ever heard beside the burner.
const NICE: [u8; 3] = [0, 10, 19];

/// How long each answer of one load takes, in the order of asking.
struct Plan {
    delays: Vec<Duration>,
    asked: AtomicUsize,
}

impl Plan {
    fn new(number: usize) -> Self {
        let mut random = Pcg64Mcg::seed_from_u64(number as u64);
        let count = RATE * SECONDS;
        let mut delays = vec![Duration::ZERO; count];
        let slow = (SHARES[number % SHARES.len()] * count as f64).round() as usize;
        while delays.iter().filter(|delay| !delay.is_zero()).count() < slow {
            let delay = Duration::from_millis(random.random_range(SLOW));
            delays[random.random_range(0..count)] = delay;
        }
        Self { delays, asked: AtomicUsize::new(0) }
    }

    /// Whether one of a hundred is slow at most.
    fn meets(&self) -> bool {
        self.delays.iter().filter(|delay| !delay.is_zero()).count() * 100 <= self.delays.len()
    }
}

async fn answer(At(number): At<usize>, State(plans): State<Arc<Vec<Plan>>>) -> &'static str {
    let plan = plans.get(number);
    let delay =
        plan.and_then(|plan| plan.delays.get(plan.asked.fetch_add(1, Ordering::Relaxed)).copied());
    if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
        tokio::time::sleep(delay).await;
    }
    "ok"
}

/// What a load said of the server, or that it said nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Met,
    Broken,
    Wrong,
    NotMeasurable,
    Nothing,
}

/// L2; the figure of it, and how many were judged wrongly or not at all.
pub(crate) fn run(study: &mut Study) -> (String, u64) {
    let wanted = if study.full { 1_000 } else { 2 * SHARES.len() };
    let until = study.until(0.4);
    let plans: Arc<Vec<Plan>> = Arc::new((0..wanted).map(Plan::new).collect());
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = threads.worker_threads(1).enable_all().build().expect("a thread can be had");
    let router = axum::Router::new().route("/{number}", axum::routing::get(answer));
    let router = router.with_state(Arc::clone(&plans));
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    runtime.spawn(async move { axum::serve(listener, router).await });

    let burner = Burner::new();
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
    let said: Vec<Said> = std::thread::scope(|scope| {
        let work = || {
            let mut said = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let is_late = number >= AT_ONCE && Instant::now() > until;
                let Some(plan) = plans.get(number).filter(|_| !is_late) else { break said };
                said.push(judge(&format!("http://{address}/{number}"), NICE[number % 3], plan));
            }
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it counts")).collect()
    });
    drop(burner);
    let count = |wanted| said.iter().filter(|one| **one == wanted).count() as u64;
    study.say("## L2: loads under the burner\n");
    study.say(&format!(
        "`callrig load --rate {RATE} --duration {SECONDS}s --slo '{SLO}'` against a server of which 0 to 6 % \
         of the answers are slow by plan, {AT_ONCE} at once on {cores} cores, a third of them at the \
         lowest priority; the burner keeps every core busy half of the time.\n"
    ));
    study.say("| loads | wrong | rightly met | rightly broken | not measurable | no verdict |");
    study.say("| --: | --: | --: | --: | --: | --: |");
    let wrong = at_most(count(Said::Wrong), said.len() as u64);
    study.say(&format!(
        "| {} | {wrong} | {} | {} | {} | {} |\n",
        said.len(),
        count(Said::Met),
        count(Said::Broken),
        count(Said::NotMeasurable),
        count(Said::Nothing)
    ));
    let unsound = count(Said::Wrong) + count(Said::Nothing);
    (format!("{wrong} loads judged wrongly"), unsound)
}

fn judge(url: &str, nice: u8, plan: &Plan) -> Said {
    let mut command = if Path::new("/usr/bin/nice").exists() {
        let mut nicely = Command::new("/usr/bin/nice");
        nicely.args(["-n", &nice.to_string()]).arg(binary());
        nicely
    } else {
        Command::new(binary())
    };
    let duration = format!("{SECONDS}s");
    command.args(["load", "--http", url, "--rate", &RATE.to_string(), "--duration", &duration]);
    let status = command.args(["--slo", SLO]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status.ok().and_then(|status| status.code()) {
        Some(0) if plan.meets() => Said::Met,
        Some(5) if !plan.meets() => Said::Broken,
        Some(0 | 5) => Said::Wrong,
        Some(6) => Said::NotMeasurable,
        _ => Said::Nothing,
    }
}
