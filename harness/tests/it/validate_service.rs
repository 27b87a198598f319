//! Judging a service: ours in virtual time and over HTTP, and some that are no services at
//! all.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use callrig::catalogue;
use callrig::serve::settings::Settings;
use callrig::validate::service::live::Subject;
use callrig::validate::service::script::Case;
use callrig::validate::service::suite::{suite, validate};
use callrig_reports::{CaseResult, Verdict};

use crate::command_line::{callrig, folder, says};

const RIG: &str = r#"
    [[listeners]]
    address = "127.0.0.1:0"
    [media]
    ports = "24000-24999"
    [quirks]
    rosters_after_escalation = true
    [[tenants]]
    id = "33333333-3333-4333-8333-333333333333"
    name = "Contoso"
    [[tenants.users]]
    id = "22222222-2222-4222-8222-222222222222"
    name = "Somebody"
    [[tenants]]
    id = "44444444-4444-4444-8444-444444444444"
    name = "Northwind"
    [[tenants.users]]
    id = "22222222-2222-4222-8222-222222222223"
    name = "Somebody else"
"#;

fn judged(cases: &[&Case], subject: Subject) -> Vec<CaseResult> {
    let pace = (Duration::from_secs(4), 16);
    let ledger = validate(cases, &suite().shapes, subject, pace, &|_| {}).expect("it can begin");
    let rules: BTreeSet<&str> = cases.iter().flat_map(|case| case.rules()).collect();
    ledger.results(catalogue::all(), &rules.into_iter().collect::<Vec<_>>())
}

#[test]
fn a_platform_over_http_keeps_the_rules() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let settings = Settings::parse("test", RIG).expect("it is understood");
    let running = runtime.block_on(callrig::serve::start(settings)).expect("it starts");
    let (address, _) = running.addresses()[0];
    let url = format!("http://{address}");
    let subject = Subject { service: url.clone(), rig: Some(url), ..Subject::default() };
    // A part of them: all are judged by `callrig validate`.
    let cases: Vec<&Case> = suite().cases.iter().step_by(6).collect();
    let results = judged(&cases, subject);
    let wrong: Vec<&CaseResult> = results
        .iter()
        .filter(|result| !matches!(result.verdict, Verdict::Pass | Verdict::Unsupported))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let passed = results.iter().filter(|result| result.verdict == Verdict::Pass).count();
    assert!(passed * 10 > results.len() * 9, "{passed} of {} were judged", results.len());
    runtime.block_on(running.stop());
}

/// What a stranger does to a connection.
type Act = fn(TcpStream);

/// Something that listens, and does this to each connection.
fn stranger(act: Act) -> Subject {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let service = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || act(stream));
        }
    });
    let word = |word: &str| word.to_owned();
    let app = Some((word("app"), word("secret"), word("tenant")));
    Subject { service, app, ..Subject::default() }
}

fn read_some(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
}

#[test]
fn what_is_no_service_is_found_out_in_bounded_time_and_memory() {
    let cases: Vec<&Case> = suite()
        .cases
        .iter()
        .filter(|case| {
            ["service/tokens", "service/errors", "service/discovery"].contains(&&*case.id)
        })
        .collect();
    assert_eq!(cases.len(), 3);
    let strangers: [(&str, Act); 6] = [
        ("it closes at once", drop),
        ("it never answers", |mut stream| {
            read_some(&mut stream);
            std::thread::sleep(Duration::from_secs(60));
        }),
        ("it answers without end", |mut stream| {
            read_some(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n");
            while stream.write_all(&[b'x'; 65_536]).is_ok() {}
        }),
        ("it speaks no HTTP", |mut stream| {
            read_some(&mut stream);
            let _ = stream.write_all(b"220 mail.test ESMTP\r\n");
        }),
        ("it answers with rubbish", |mut stream| {
            read_some(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{\"a\":");
        }),
        ("it leads in circles", |mut stream| {
            read_some(&mut stream);
            let answer = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(answer);
        }),
    ];
    for (name, act) in strangers {
        let began = Instant::now();
        let results = judged(&cases, stranger(act));
        assert!(began.elapsed() < Duration::from_secs(55), "{name}: {:?}", began.elapsed());
        let granted = results.iter().find(|result| result.id == "service/tokens/granted");
        let granted = granted.expect("it was judged");
        assert_eq!(granted.verdict, Verdict::Fail, "{name}");
        assert!(!granted.findings[0].evidence.is_empty(), "{name}: there is no evidence");
        let green = results.iter().filter(|result| result.verdict == Verdict::Pass);
        // A redirect is a status of its own, which some rules ask for nothing more than.
        assert!(green.count() <= 1, "{name}");
    }
}

#[test]
fn the_command_judges_and_reports() {
    let folder = folder();
    let case = "service/transfer/**";
    let ran = callrig(
        folder.path(),
        &["validate", "--service", "simulated", "--case", case, "--out", "report"],
    );
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    let page = std::fs::read_to_string(folder.path().join("report/report.html")).expect("a page");
    assert!(page.contains("service/transfer/completed-subcode"));
    let again = callrig(
        folder.path(),
        &[
            "validate",
            "--service",
            "simulated",
            "--case",
            case,
            "--out",
            "again",
            "--format",
            "json",
        ],
    );
    assert_eq!(again.code, 0);
    let results = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join(name)).expect("it is written");
        let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        report["results"].to_string()
    };
    assert_eq!(results("report/report.json"), results("again/report.json"));
}

#[test]
fn what_cannot_be_judged_is_said_in_a_line() {
    let ran = callrig(folder().path(), &["validate"]);
    assert_eq!(ran.code, 2);
    says(&ran, &["--service"]);
    let ran = callrig(folder().path(), &["validate", "--service", "nowhere"]);
    assert_eq!(ran.code, 2);
    says(&ran, &["--service \"nowhere\" is no address"]);
    let ran = callrig(folder().path(), &["validate", "--service", "http://127.0.0.1:9"]);
    assert_eq!(ran.code, 2);
    says(&ran, &["--app-id", "--rig"]);
    let line = ["validate", "--service", "simulated", "--case", "no/such"];
    let ran = callrig(folder().path(), &line);
    assert_eq!(ran.code, 4);
    says(&ran, &["no case was selected"]);
}
