//! Files that no prompt can be: each fails the operation that asked for it, with the code that
//! is documented for it and the reason in words, and disturbs nothing else of the call.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Bot, Rig, service_hosted};

const UNUSABLE: i64 = 8535;
const NOT_FETCHED: i64 = 8536;

/// How a file is served.
#[derive(Clone)]
enum Serves {
    /// Whole, with status 200.
    File(Vec<u8>),
    /// This head, then these bytes, then the end of the connection.
    Raw(&'static str, Vec<u8>),
    /// A byte in a tenth of a second, as long as anybody listens.
    Drip,
}

struct Bad {
    name: &'static str,
    serves: Serves,
    subcode: i64,
    /// What the message has to say; one of several, set apart by a bar.
    says: &'static str,
}

/// A WAV header of these fields, and what follows it.
fn wav(channels: u16, rate: u32, bits: u16, stated: u32, data: &[u8]) -> Vec<u8> {
    let block = channels * bits / 8;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1_u16, channels].into_iter().flat_map(u16::to_le_bytes));
    file.extend([rate, rate * u32::from(block)].into_iter().flat_map(u32::to_le_bytes));
    file.extend([block, bits].into_iter().flat_map(u16::to_le_bytes));
    file.extend(b"data");
    file.extend(stated.to_le_bytes());
    file.extend(data);
    file
}

fn table() -> Vec<Bad> {
    use Serves::{Drip, File, Raw};
    let sound = [9; 6_400];
    let good = wav(1, 16_000, 16, 6_400, &sound);
    let bad = |name, serves, subcode, says| Bad { name, serves, subcode, says };
    vec![
        bad("stereo", File(wav(2, 16_000, 16, 6_400, &sound)), UNUSABLE, "2 channels"),
        bad("8khz", File(wav(1, 8_000, 16, 6_400, &sound)), UNUSABLE, "8000 samples per second"),
        bad("24bit", File(wav(1, 16_000, 24, 6_399, &sound[..6_399])), UNUSABLE, "24 bits"),
        bad("lies", File(wav(1, 16_000, 16, 64_000, &sound)), UNUSABLE, "states 64000 bytes"),
        bad("cut", File(good[..30].to_vec()), UNUSABLE, "states 6436 bytes"),
        bad("empty", File(wav(1, 16_000, 16, 0, &[])), UNUSABLE, "no samples"),
        bad("text", File(b"<html>Sign in</html>".to_vec()), UNUSABLE, "not a WAV file"),
        bad(
            "huge",
            Raw("200 OK\r\nContent-Length: 2147483648", good.clone()),
            NOT_FETCHED,
            "2147483648 bytes",
        ),
        bad(
            "short",
            Raw("200 OK\r\nContent-Length: 6444", good[..3_000].to_vec()),
            NOT_FETCHED,
            "",
        ),
        // Whose time is over first: the client's or the operation's.
        bad("drip", Drip, NOT_FETCHED, "within|too long"),
        bad(
            "loop",
            Raw("302 Found\r\nLocation: /loop\r\nContent-Length: 0", Vec::new()),
            NOT_FETCHED,
            "HTTP 302",
        ),
        bad("gone", Raw("404 Not Found\r\nContent-Length: 0", Vec::new()), NOT_FETCHED, "HTTP 404"),
        bad("hangs up", Raw("", Vec::new()), NOT_FETCHED, ""),
    ]
}

/// Serves the files of the table by their names; where it is.
async fn web() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    base
}

async fn serve(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let asked = |bad: &Bad| request.starts_with(&format!("GET /{} ", bad.name.replace(' ', "%20")));
    let serves = table().into_iter().find(asked).expect("it is in the table").serves;
    let (head, body) = match serves {
        Serves::Raw("", _) => return,
        Serves::Raw(head, body) => (head.to_owned(), body),
        Serves::File(body) => (format!("200 OK\r\nContent-Length: {}", body.len()), body),
        Serves::Drip => ("200 OK\r\nContent-Length: 6444".to_owned(), Vec::new()),
    };
    let dripping = body.is_empty() && head.ends_with("6444");
    // Whoever asked may have gone.
    let _ =
        stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let _ = stream.write_all(&body).await;
    while dripping && stream.write_u8(b'R').await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn play(uri: &str, context: &str) -> Value {
    json!({ "clientContext": context, "prompts": [{
        "@odata.type": "#microsoft.graph.mediaPrompt",
        "mediaInfo": { "uri": uri },
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_prompt_fails_its_operation_and_nothing_else() {
    let (bot, web) = (Bot::start().await, web().await);
    let rig = Rig::start(&bot, "[limits]\nprompt_fetch = \"700ms\"").await;
    let (call, leg) = rig.ring(&json!({ "user": "Ann", "listen": true })).await;
    bot.told_state("incoming").await;
    rig.act(&call, "answer", &service_hosted()).await;
    bot.told("sound flows", |value| value["resourceData"]["mediaState"]["audio"] == "active").await;
    rig.act(&call, "subscribeToTone", &json!({ "clientContext": "keys" })).await;

    let table = table();
    for bad in &table {
        let uri = format!("{web}/{}", bad.name.replace(' ', "%20"));
        rig.act(&call, "playPrompt", &play(&uri, bad.name)).await;
    }
    rig.act(&call, "playPrompt", &play(&format!("{}/prompt.wav", bot.base), "good")).await;
    // Where nothing may be fetched from, the request itself is refused.
    let path = format!("/v1.0/communications/calls/{call}/playPrompt");
    for uri in ["https://10.1.2.3/a.wav", "http://169.254.169.254/a.wav", "https://[fd00::1]/a.wav"]
    {
        let (status, refusal) = rig.post(&path, &play(uri, "private")).await;
        assert_eq!(status, 400, "{uri}: {refusal}");
        assert!(refusal.to_string().contains(uri), "{refusal}");
    }

    // Every failure by its context, in whatever order; then the good one, and nothing of the
    // call's own state in between.
    let mut open: Vec<&Bad> = table.iter().collect();
    let mut played = false;
    while !(open.is_empty() && played) {
        let told = bot.told("the end of each operation", |_| true).await;
        let data = &told["resourceData"];
        let kind = data["@odata.type"].as_str().unwrap_or_default();
        assert_eq!(kind, "#microsoft.graph.playPromptOperation", "{told}");
        let context = data["clientContext"].as_str().unwrap_or_default();
        if context == "good" {
            assert_eq!(data["status"], "completed", "{told}");
            played = true;
            continue;
        }
        let index = open.iter().position(|bad| bad.name == context);
        let bad = open.remove(index.unwrap_or_else(|| panic!("told twice, or unasked: {told}")));
        let result = &data["resultInfo"];
        assert_eq!(data["status"], "failed", "{told}");
        assert_eq!(
            (&result["code"], &result["subcode"]),
            (&json!(400), &json!(bad.subcode)),
            "{told}"
        );
        let message = result["message"].as_str().unwrap_or_default();
        let says = bad.says.split('|').any(|words| message.contains(words));
        assert!(says, "{}: {message}", bad.name);
    }

    let file = rig.client.get(format!("{}/rig/legs/{leg}/heard.wav", rig.base)).send().await;
    let file = file.expect("an answer").bytes().await.expect("a file");
    assert!(super::calls::loudest(&file) > 1_000, "the good prompt was heard on the phone");
    rig.post(&format!("/rig/legs/{leg}/press"), &json!({ "keys": "7" })).await;
    bot.told("a key", |value| value["resourceData"]["toneInfo"]["tone"] == "tone7").await;
    let path = format!("/v1.0/communications/calls/{call}");
    let (_, state) = rig.send(reqwest::Method::GET, &path, &json!({})).await;
    assert_eq!(state["state"], "established", "{state}");
    rig.running.stop().await;
}
