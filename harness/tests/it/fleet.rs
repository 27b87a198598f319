//! A run that several processes share finds what one process finds, to the byte, also where a
//! worker is killed and the server goes away; a load that they share is every call once. These need `nats-server`; where there is none they
//! say so (`make test` installs it where it can).

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use callrig::load::schedule::Schedule;
use callrig_reports::metric::Repeatability;
use callrig_reports::render;
use serde_json::Value;

use crate::corpora;

/// What is run: some seconds of work, with results of every size.
const WANTED: [&str; 11] = [
    "--seed",
    "7",
    "--network",
    "clean",
    "loss-5",
    "--recording",
    "audio/opus-20ms-24k-*",
    "dtmf/all-*",
    "video/h264-180p-stap-a",
    "--format",
    "json",
];
/// No run here takes longer.
const LONGEST: Duration = Duration::from_secs(240);

fn callrig(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callrig"));
    command.args(arguments).env("CALLRIG_CORPORA", corpora());
    command
}

/// A server with a folder of its own.
struct Nats {
    binary: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Nats {
    /// None where there is no such program.
    fn start() -> Option<Self> {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let tools = Path::new(env!("CARGO_BIN_EXE_callrig"))
            .ancestors()
            .nth(2)
            .map(|target| target.join("tools"));
        let folders =
            std::env::split_paths(&folders).chain([PathBuf::from("/usr/sbin")]).chain(tools);
        let binary = folders.map(|folder| folder.join("nats-server")).find(|file| file.is_file());
        let Some(binary) = binary else {
            eprintln!("skipped: there is no nats-server on this machine");
            return None;
        };
        let port = crate::free_address().port();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let child = Self::spawn(&binary, folder.path(), port);
        let server = Self { binary, folder, port, child };
        server.wait();
        Some(server)
    }

    fn spawn(binary: &Path, folder: &Path, port: u16) -> Child {
        Command::new(binary)
            .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
            .arg(folder)
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server runs")
    }

    fn wait(&self) {
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "nats-server does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn die(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn come_back(&mut self) {
        self.child = Self::spawn(&self.binary, self.folder.path(), self.port);
        self.wait();
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.die();
    }
}

/// A process whose words go into a file, and which does not outlive the test.
struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    fn start(mut command: Command, said: PathBuf) -> Self {
        let file = std::fs::File::create(&said).expect("it can be written");
        let child = command.stdout(Stdio::null()).stderr(file).spawn().expect("callrig runs");
        Self { child, said }
    }

    fn worker(server: &Nats, said: PathBuf, more: &[&str]) -> Self {
        let url = server.url();
        let arguments = ["worker", "--fleet", &url, "--fleet-patience", "3s", "--jobs", "1"];
        Self::start(callrig(&[&arguments[..], more].concat()), said)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    fn says(&self, words: &str) {
        let began = Instant::now();
        while !self.said().contains(words) {
            assert!(began.elapsed() < LONGEST, "{words:?} was not said: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its exit code.
    fn ends(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            assert!(began.elapsed() < LONGEST, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Verdicts and exact metrics of a report, as text.
fn exact(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("report.json")).expect("it was written");
    let mut exact = String::new();
    for result in render::json::parse(&text).expect("a report").results {
        exact.push_str(&format!("{} {:?} {:?}\n", result.key(), result.verdict, result.findings));
        let metrics = result.metrics.iter();
        for metric in metrics.filter(|metric| metric.repeatability == Repeatability::Exact) {
            exact.push_str(&format!("  {metric:?}\n"));
        }
    }
    exact
}

/// What one process finds.
fn alone() -> &'static str {
    static ALONE: LazyLock<String> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("alone");
        let arguments = [&["run", "--out", out.to_str().expect("a path")], &WANTED[..]].concat();
        let mut process = Process::start(callrig(&arguments), folder.path().join("alone.txt"));
        assert_eq!(process.ends(), Some(0), "{}", process.said());
        exact(&out)
    });
    &ALONE
}

fn lead(server: &Nats, folder: &Path, wanted: &[&str]) -> Process {
    let (out, url) = (folder.join("shared"), server.url());
    let out = out.to_str().expect("a path");
    let fleet = ["run", "--out", out, "--fleet", &url, "--fleet-patience", "3s", "--jobs", "1"];
    Process::start(callrig(&[&fleet[..], wanted].concat()), folder.join("lead.txt"))
}

#[test]
fn a_fleet_finds_what_one_process_finds() {
    let Some(server) = Nats::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let worker = |name: &str| Process::worker(&server, folder.path().join(name), &["--once"]);
    let (mut one, mut other) = (worker("one.txt"), worker("other.txt"));
    one.says("is ready");
    other.says("is ready");
    let mut lead = lead(&server, folder.path(), &WANTED);
    assert_eq!(lead.ends(), Some(0), "{}", lead.said());
    assert_eq!((one.ends(), other.ends()), (Some(0), Some(0)), "{}", one.said());
    // Somebody else did some of it.
    let said = lead.said();
    let counts = said.lines().find_map(|line| line.split_once("calls by worker: "));
    let counts = counts.unwrap_or_else(|| panic!("{said}")).1;
    assert!(counts.matches(',').count() == 2, "{counts}");
    let shared = exact(&folder.path().join("shared"));
    assert!(shared.lines().count() > 500, "{}", shared.lines().count());
    assert_eq!(shared, alone());
}

#[test]
fn lost_workers_and_a_server_that_comes_back_change_nothing() {
    let Some(mut server) = Nats::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut lost = Process::worker(&server, folder.path().join("lost.txt"), &[]);
    let other = Process::worker(&server, folder.path().join("other.txt"), &[]);
    let mut lead = lead(&server, folder.path(), &WANTED);
    lost.says("taking part");
    other.says("taking part");
    std::thread::sleep(Duration::from_millis(700));
    lost.kill();
    std::thread::sleep(Duration::from_millis(500));
    server.die();
    assert!(
        lead.child.try_wait().expect("it can be asked").is_none(),
        "there was too little to do"
    );
    std::thread::sleep(Duration::from_millis(1_500));
    server.come_back();
    assert_eq!(lead.ends(), Some(0), "{}", lead.said());
    assert_eq!(exact(&folder.path().join("shared")), alone());
}

#[test]
fn who_would_find_something_else_does_not_take_part() {
    let Some(server) = Nats::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = "version = 1\n";
    std::fs::write(folder.path().join("manifest.toml"), manifest).expect("it can be written");
    let elsewhere = folder.path().to_str().expect("a path");
    let foreign = Process::worker(&server, folder.path().join("x.txt"), &["--corpora", elsewhere]);
    let mut lead =
        lead(&server, folder.path(), &["--network", "clean", "--recording", "dtmf/all-*"]);
    foreign.says("not taking part");
    assert_eq!(lead.ends(), Some(0), "{}", lead.said());
    assert!(lead.said().contains("does not take part"), "{}", lead.said());
}

/// A server that counts what it is asked, and answers at once.
fn counting() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    let count = Arc::new(AtomicU64::new(0));
    let asked = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let asked = Arc::clone(&asked);
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                while lines.by_ref().any(|line| line.is_empty()) {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                    if (&stream).write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, count)
}

/// Load that three make; what they found, once it is over, and how it went.
fn loaded(
    server: &mut Nats,
    folder: &Path,
    arguments: &[&str],
    during: impl FnOnce(&mut Nats, &mut [Process; 2]),
) -> (Value, String) {
    let (out, url) = (folder.join("load"), server.url());
    let out = out.to_str().expect("a path");
    let worker = |name: &str| Process::worker(server, folder.join(name), &[]);
    let mut workers = [worker("one.txt"), worker("other.txt")];
    workers.iter().for_each(|worker| worker.says("is ready"));
    let fleet = ["load", "--fleet", &url, "--fleet-patience", "3s", "--workers", "3", "--out", out];
    let mut lead =
        Process::start(callrig(&[&fleet[..], arguments].concat()), folder.join("lead.txt"));
    during(server, &mut workers);
    assert_eq!(lead.ends(), Some(0), "{}", lead.said());
    let text = std::fs::read_to_string(folder.join("load/load.json")).expect("it was written");
    (serde_json::from_str(&text).expect("JSON"), lead.said())
}

#[test]
fn every_call_of_a_load_that_a_fleet_makes_is_made_once() {
    let Some(mut server) = Nats::start() else { return };
    let (folder, (url, asked)) = (tempfile::tempdir().expect("a temporary folder"), counting());
    let arguments = ["--http", &url, "--rate", "150", "--duration", "2s", "--poisson"];
    let (load, said) = loaded(&mut server, folder.path(), &arguments, |_, _| {});
    let wanted = Schedule::parse("150", Duration::from_secs(2), Some(1)).expect("it is sound");
    let wanted = wanted.times().count() as u64;
    assert_eq!((&load["intended"], &load["succeeded"]), (&wanted.into(), &wanted.into()), "{load}");
    assert_eq!(asked.load(Ordering::SeqCst), wanted, "{said}");
    let notes = load["notes"][0].as_str().expect("who made it");
    assert_eq!(notes.matches(',').count(), 2, "three made it: {notes}");
}

#[test]
fn a_server_that_goes_away_and_comes_back_in_mid_load_changes_nothing() {
    let Some(mut server) = Nats::start() else { return };
    let (folder, (url, asked)) = (tempfile::tempdir().expect("a temporary folder"), counting());
    let arguments = ["--http", &url, "--rate", "60", "--duration", "5s"];
    let (load, said) = loaded(&mut server, folder.path(), &arguments, |server, _| {
        let began = Instant::now();
        while asked.load(Ordering::SeqCst) < 20 {
            assert!(began.elapsed() < LONGEST, "nobody is called");
            std::thread::sleep(Duration::from_millis(20));
        }
        server.die();
        std::thread::sleep(Duration::from_millis(1_500));
        server.come_back();
    });
    assert_eq!((&load["intended"], &load["succeeded"]), (&300.into(), &300.into()), "{said}");
    assert_eq!(asked.load(Ordering::SeqCst), 300, "no call was made twice: {said}");
}

#[test]
fn a_load_in_which_a_worker_is_lost_is_begun_again() {
    let Some(mut server) = Nats::start() else { return };
    let (folder, (url, asked)) = (tempfile::tempdir().expect("a temporary folder"), counting());
    let arguments = ["--http", &url, "--rate", "60", "--duration", "3s"];
    let (load, _) = loaded(&mut server, folder.path(), &arguments, |_, [one, _]| {
        let began = Instant::now();
        while asked.load(Ordering::SeqCst) < 20 {
            assert!(began.elapsed() < LONGEST, "nobody is called");
            std::thread::sleep(Duration::from_millis(20));
        }
        one.kill();
    });
    assert_eq!((&load["intended"], &load["succeeded"]), (&180.into(), &180.into()), "{load}");
    let notes = load["notes"].to_string();
    assert!(notes.contains("begun again") && notes.contains("a worker was lost"), "{notes}");
    assert_eq!(load["notes"][0].as_str().expect("who made it").matches(',').count(), 1, "{notes}");
    // What the round before had called counts for nothing.
    assert!(asked.load(Ordering::SeqCst) > 200);
}

#[test]
fn the_bots_of_a_fleet_have_an_app_each() {
    let Some(mut server) = Nats::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = folder.path().join("rig.toml");
    let text = r#"
        listeners = [{ address = "127.0.0.1:0" }]
        rig.token = "hush"
        [[tenants]]
        id = "33333333-3333-4333-8333-333333333333"
        users = [{ id = "22222222-2222-4222-8222-222222222222", name = "Ann" }]
    "#;
    std::fs::write(&settings, text).expect("it can be written");
    let mut serve = callrig(&["serve", settings.to_str().expect("a path"), "--log", "warn"]);
    let child = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("callrig runs");
    let mut serve = Process { child, said: folder.path().join("serve.txt") };
    let out = serve.child.stdout.take().expect("it is piped");
    let line = BufReader::new(out).lines().next().expect("it says where").expect("text");
    let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
    let arguments = ["--url", &url, "--rig-token", "hush", "--rate", "12", "--duration", "2s"];
    let (load, said) = loaded(&mut server, folder.path(), &arguments, |_, _| {});
    assert_eq!((&load["intended"], &load["succeeded"]), (&24.into(), &24.into()), "{load} {said}");
    // Nothing of it stays in the service.
    callrig::web::choose_cryptography();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let directory: Value = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.get(format!("{url}/rig/directory")).bearer_auth("hush");
        request.send().await.expect("an answer").json().await.expect("JSON")
    });
    assert_eq!(directory["apps"], serde_json::json!([]), "{directory}");
}

#[test]
fn a_fleet_calls_no_service_of_its_own() {
    let output = callrig(&["load", "--fleet", "nats://127.0.0.1:9"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--url or --http"), "{said}");
}

#[test]
fn without_a_server_there_is_a_clear_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let out = out.to_str().expect("a path");
    let arguments = ["run", "--out", out, "--fleet", "nats://127.0.0.1:9", "--network", "clean"];
    let output = callrig(&arguments).args(["--recording", "dtmf/*"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot reach NATS") && said.contains("nats-server -js"), "{said}");
}
