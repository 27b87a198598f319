//! What comes over the wire from clients that do not behave: an answer that says what is
//! wrong, or an end, within limits of room and time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{APP, Bot, Rig};

const TIGHT: &str = "[server]\nbody_bytes_max = 4096\nheader_bytes_max = 8192\n\
                     header_timeout = \"400ms\"\nbody_timeout = \"400ms\"\n";

async fn rig() -> Rig {
    Rig::start(&Bot::start().await, TIGHT).await
}

/// Sends bytes as they are; all that comes back until the other side closes.
async fn raw(rig: &Rig, parts: &[&[u8]]) -> String {
    let address = rig.base.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    for part in parts {
        // The other side may have had enough already.
        if stream.write_all(part).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    // A reset after the answer is as good as a close.
    let _ = read.await.expect("the other side closes");
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(method: &str, path: &str, more: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {APP}\r\n{more}\r\n"
    )
    .into_bytes()
}

const CALLS: &str = "/v1.0/communications/calls";

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let rig = rig().await;
    let more = "Content-Type: application/json\r\nContent-Length: 99999999\r\n";
    let answer = raw(&rig, &[&head("POST", CALLS, more), b"{"]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("RequestEntityTooLarge"), "{answer}");
    let more = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    let chunk = [b"1000\r\n".as_slice(), &[b' '; 4096], b"\r\n"].concat();
    let parts: Vec<&[u8]> = vec![&chunk; 4];
    let answer =
        raw(&rig, &[&[head("POST", CALLS, more).as_slice()], parts.as_slice()].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_slow_is_not_waited_for() {
    let rig = rig().await;
    let began = Instant::now();
    let more = "Content-Type: application/json\r\nContent-Length: 100\r\n";
    let answer = raw(&rig, &[&head("POST", CALLS, more), b"{"]).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    for beginning in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA: "] {
        let answer = raw(&rig, &[beginning]).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_turned_away() {
    let rig = rig().await;
    for (bytes, status) in [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), "400"),
        (b"nonsense\r\n\r\n".to_vec(), "400"),
        (b"GET / HTTP/9.9\r\n\r\n".to_vec(), "400"),
        (head("GET", "/", &format!("A: {}\r\n", "x".repeat(20_000))), "431"),
        (head("GET", &format!("/{}", "x".repeat(70_000)), ""), "4"),
    ] {
        let answer = raw(&rig, &[&bytes]).await;
        let refused = answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}"));
        assert!(refused, "{answer}");
    }
    // And it serves as before.
    assert_eq!(rig.get("/health").await["status"], "ready");
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_in_the_words_of_the_api_and_echo_its_ids() {
    let rig = rig().await;
    let url = format!("{}{CALLS}", rig.base);
    let cases: [(reqwest::Method, &str, &str, String, u16); 6] = [
        (reqwest::Method::PATCH, CALLS, "application/json", "{}".into(), 405),
        (reqwest::Method::POST, CALLS, "text/plain", "{}".into(), 415),
        (reqwest::Method::POST, CALLS, "application/json", "{".into(), 400),
        (reqwest::Method::POST, CALLS, "application/json", "[".repeat(4_000), 400),
        (reqwest::Method::POST, CALLS, "application/json", " ".repeat(5_000), 413),
        (
            reqwest::Method::GET,
            "/v1.0/communications/calls/7",
            "application/json",
            String::new(),
            404,
        ),
    ];
    for (method, path, kind, body, status) in cases {
        let request = rig.client.request(method, url.replace(CALLS, path)).bearer_auth(APP);
        let request = request.header("content-type", kind).header("client-request-id", "mine");
        let answer = request.header("scenario-id", "scene").body(body).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), status, "{path} {kind}");
        assert_eq!(answer.headers()["client-request-id"], "mine");
        assert_eq!(answer.headers()["scenario-id"], "scene");
        assert!(answer.headers().contains_key("request-id"));
        let body: Value = answer.json().await.expect("JSON");
        assert!(
            body["error"]["code"].is_string() && body["error"]["message"].is_string(),
            "{body}"
        );
    }
    let anonymous = rig.client.post(&url).bearer_auth("nobody").json(&json!({})).send().await;
    assert_eq!(anonymous.expect("an answer").status(), 401);
    rig.running.stop().await;
}
