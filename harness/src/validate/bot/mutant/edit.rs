//! Changes of single requests and files.

use bytes::Bytes;
use callrig_signaling::blob;
use callrig_signaling::http::{Method, Request, Response};
use serde_json::Value;

/// How a request is changed.
#[derive(Clone, Debug, PartialEq)]
pub enum AskChange {
    /// It is not sent.
    Drop,
    /// It is sent twice.
    Twice,
    /// It is sent so many milliseconds late.
    Late(u64),
    /// The last part of its path is another.
    Path(&'static str),
    /// Another version of the API is asked.
    Version(&'static str),
    /// The method is another.
    Method(Method),
    /// A header is left out.
    NoHeader(&'static str),
    /// A header is another.
    Header(&'static str, &'static str),
    /// A member of the body (a JSON pointer) is left out.
    NoMember(&'static str),
    /// A member of the body (a JSON pointer) is another: JSON.
    Member(&'static str, &'static str),
    /// The whole body is another.
    Body(&'static str),
    /// A member of the body is so many characters long.
    Long(&'static str, usize),
    /// A list of the body is so many items long, all like the first.
    Many(&'static str, usize),
    /// These words in the SDP of the blob are others.
    Sdp(&'static str, &'static str),
}

/// How a file is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// With another status.
    Status(u16),
    /// Something that is no WAV.
    Garbage,
    /// Nothing.
    Empty,
    /// With 8 kHz in its header.
    Rate,
    /// With two channels in its header.
    Stereo,
    /// With 8 bits in its header.
    Bits,
    /// So many milliseconds late.
    Late(u64),
    /// So quiet that nobody understands it.
    Quiet,
    /// So loud that it is clipped.
    Loud,
}

/// Changes a request.
pub(super) fn apply(change: &AskChange, request: &mut Request) {
    match change {
        AskChange::Path(name) => {
            let end = request.uri.rfind('/').map_or(0, |at| at + 1);
            request.uri.truncate(end);
            request.uri.push_str(name);
        }
        AskChange::Version(version) => {
            request.uri = request.uri.replacen("/v1.0/", &format!("/{version}/"), 1);
        }
        AskChange::Method(method) => request.method = *method,
        AskChange::NoHeader(name) => {
            request.headers.remove(name);
        }
        AskChange::Header(name, value) => {
            request.headers.remove(name);
            request.headers.push(name, value);
        }
        AskChange::Body(text) => request.body = Bytes::from_static(text.as_bytes()),
        AskChange::NoMember(pointer) => edit(request, |body| remove(body, pointer)),
        AskChange::Member(pointer, text) => edit(request, |body| {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(*text));
            put(body, pointer, value);
        }),
        AskChange::Long(pointer, length) => {
            edit(request, |body| put(body, pointer, Value::from("x".repeat(*length))));
        }
        AskChange::Many(pointer, length) => edit(request, |body| {
            if let Some(Value::Array(list)) = body.pointer_mut(pointer)
                && let Some(first) = list.first().cloned()
            {
                list.resize(*length, first);
            }
        }),
        AskChange::Sdp(from, to) => edit(request, |body| {
            let Some(Value::String(text)) = body.pointer_mut("/mediaConfig/blob") else { return };
            if let Ok((kind, sdp)) = blob::unwrap(text) {
                *text = blob::wrap(kind, &sdp.replace(from, to));
            }
        }),
        AskChange::Drop | AskChange::Twice | AskChange::Late(_) => {}
    }
}

fn edit(request: &mut Request, change: impl FnOnce(&mut Value)) {
    if let Ok(mut body) = serde_json::from_slice::<Value>(&request.body) {
        change(&mut body);
        request.body = body.to_string().into();
    }
}

fn split(pointer: &str) -> (&str, &str) {
    pointer.rsplit_once('/').unwrap_or(("", pointer))
}

fn remove(body: &mut Value, pointer: &str) {
    let (parent, name) = split(pointer);
    if let Some(Value::Object(map)) = body.pointer_mut(parent) {
        map.remove(name);
    }
}

fn put(body: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = split(pointer);
    if let Some(Value::Object(map)) = body.pointer_mut(parent) {
        map.insert(name.to_owned(), value);
    }
}

/// Changes a file that the platform fetched.
pub(super) fn file(change: FileChange, response: &mut Response) {
    let mut bytes = response.body.to_vec();
    let header = |bytes: &mut Vec<u8>, at: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    match change {
        FileChange::Status(status) => {
            response.status = status;
            bytes.clear();
        }
        FileChange::Garbage => bytes = b"<html>no sound</html>".to_vec(),
        FileChange::Empty => bytes.clear(),
        FileChange::Rate => header(&mut bytes, 24, &8_000_u32.to_le_bytes()),
        FileChange::Stereo => header(&mut bytes, 22, &2_u16.to_le_bytes()),
        FileChange::Bits => header(&mut bytes, 34, &8_u16.to_le_bytes()),
        FileChange::Quiet => scale(&mut bytes, 0.04),
        FileChange::Loud => scale(&mut bytes, 40.0),
        FileChange::Late(_) => {}
    }
    response.body = bytes.into();
}

fn scale(bytes: &mut [u8], by: f64) {
    for pair in bytes.get_mut(44..).unwrap_or_default().chunks_exact_mut(2) {
        let sample = f64::from(i16::from_le_bytes([pair[0], pair[1]])) * by;
        let sample = sample.clamp(-32_768.0, 32_767.0) as i16;
        pair.copy_from_slice(&sample.to_le_bytes());
    }
}
