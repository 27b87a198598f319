//! A page for browsers, and what they post from it: as much HTTP as that takes.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

const PAGE: &str = include_str!("page.html");

/// Something was posted; the reply is what is sent back.
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) reply: Sender<String>,
}

/// Serves the page on threads that end with the test.
pub(crate) fn serve() -> (SocketAddr, Receiver<Posted>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (posted, postings) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let posted = posted.clone();
            // Browsers open connections before they need them: each has a thread.
            std::thread::spawn(move || talk(stream, &posted));
        }
    });
    (address, postings)
}

fn talk(stream: TcpStream, posted: &Sender<Posted>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let (name, value) = header.split_once(':').unwrap_or((header.trim(), ""));
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
            if name.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let answer = match method.as_str() {
            "POST" => {
                let (reply, replies) = channel();
                let body = String::from_utf8(body).ok()?;
                posted.send(Posted { path, body, reply }).ok()?;
                replies.recv_timeout(Duration::from_secs(30)).ok()?
            }
            _ => PAGE.to_owned(),
        };
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(answer.as_bytes()).ok()?;
    }
}
