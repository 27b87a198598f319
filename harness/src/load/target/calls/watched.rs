//! Calls of a bot that is not ours, seen from the platform: its events, as server-sent events.

use std::sync::Arc;
use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::super::http::failure;
use super::book::{Book, Seen, Stage};
use super::control::Control;

/// What is to be told of.
const EVENTS: &str =
    "/rig/events?only=callStateChanged,callEnded,notificationSent,notificationDelivered";
/// A line that is longer is no event of a platform.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Watches a platform from now on.
///
/// # Errors
/// It does not let itself be watched.
pub(super) async fn watch(control: &Control, book: &Arc<Book>) -> Result<(), String> {
    let answer = control.request(Method::GET, EVENTS).send().await;
    let mut answer = answer.map_err(|error| failure(&error))?;
    if !answer.status().is_success() {
        let advice = match answer.status() {
            StatusCode::UNAUTHORIZED => ": its control API wants a token (--rig-token)",
            _ => "",
        };
        return Err(format!("its events were answered {}{advice}", answer.status().as_u16()));
    }
    let book = Arc::clone(book);
    tokio::spawn(async move {
        let mut lines = Lines::default();
        let why = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    let at = Instant::now();
                    if lines.push(&chunk, |line| told(&book, at, line)).is_err() {
                        break "the platform tells of something without end".to_owned();
                    }
                }
                Ok(None) => break "the platform tells nothing any more".to_owned(),
                Err(error) => break format!("the platform's events: {}", failure(&error)),
            }
        };
        book.lose(&why);
    });
    Ok(())
}

/// A line of the stream (WHATWG HTML, section 9.2.6): what is not data says only which kind it is.
fn told(book: &Book, at: Instant, line: &str) {
    if line == "event: missed" {
        // Which calls were concerned is not known.
        book.drop_all();
    }
    let Some(data) = line.strip_prefix("data:") else { return };
    let Ok(event) = serde_json::from_str::<Value>(data) else { return };
    let Some(call) = event["call"].as_str() else { return };
    let stage = match (event["event"].as_str(), event["state"].as_str()) {
        (Some("notificationSent"), _) if event["sequence"] == 1 => Stage::Sent,
        (Some("notificationDelivered"), _) if event["sequence"] == 1 => Stage::Told,
        (Some("callStateChanged"), Some("establishing")) => Stage::Answered,
        (Some("callStateChanged"), Some("established")) => Stage::Established,
        (Some("callEnded"), _) => Stage::Ended,
        _ => return,
    };
    let result = &event["result"];
    let why = result["code"].as_u64().map(|code| {
        let subcode = result["subcode"].as_u64().unwrap_or_default();
        format!("{code}/{subcode}, {}", result["message"].as_str().unwrap_or("without a word"))
    });
    book.note(call, Seen { stage, at, why });
}

/// Puts lines together.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

/// A line has no end.
#[derive(Debug)]
struct Endless;

impl Lines {
    fn push(&mut self, chunk: &[u8], mut told: impl FnMut(&str)) -> Result<(), Endless> {
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") {
                told(String::from_utf8_lossy(&self.begun).trim_end());
                self.begun.clear();
            } else if self.begun.len() > LINE_BYTES_MAX {
                return Err(Endless);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_come_in_any_pieces() {
        let book = Book::default();
        let text = concat!(
            ": hello\n\nid: 1\nevent: event\n",
            "data: {\"event\":\"notificationSent\",\"call\":\"c\",\"sequence\":1}\n\n",
            "data: {\"event\":\"callStateChanged\",\"call\":\"c\",\"state\":\"establishing\"}\r\n",
            "data: {\"event\":\"callStateChanged\",\"call\":\"c\",\"state\":\"established\"}\n",
            "data: {\n",
            "data: {\"event\":\"callEnded\",\"call\":\"d\",",
            "\"result\":{\"code\":486,\"subcode\":3486,\"message\":\"Busy.\"}}\n",
        );
        let mut lines = Lines::default();
        for piece in text.as_bytes().chunks(7) {
            lines.push(piece, |line| told(&book, Instant::now(), line)).expect("lines end");
        }
        let mut course = book.open("c").expect("it is there");
        assert!(course.until(Stage::Established).await.is_ok());
        assert!(course.at(Stage::Sent) <= course.at(Stage::Answered));
        let ended = book.open("d").expect("it is there").until(Stage::Answered).await;
        assert_eq!(ended, Err("it ended before it was answered: 486/3486, Busy.".to_owned()));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; LINE_BYTES_MAX];
        assert!(lines.push(&piece, |_| {}).is_ok());
        assert!(lines.push(b"x", |_| {}).is_err());
    }
}
