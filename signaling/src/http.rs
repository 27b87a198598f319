//! HTTP as the machines of this crate see it: whole requests and whole responses, tied
//! together by a number. Who carries them (a queue in a simulated world, a server and a
//! client in a live one) is the owner's business (RFC 9110 names the parts).

use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::headers::{Headers, Lines, Shared};

mod headers;

/// Ties a response to its request. Whoever sends the request chooses the number, so the
/// numbers of two directions never meet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RequestId(pub u64);

/// The methods that the calls API knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Read.
    Get,
    /// Create, or act.
    Post,
    /// Replace.
    Put,
    /// Change in part.
    Patch,
    /// Remove.
    Delete,
    /// Anything else; never routed.
    Other,
}

impl Method {
    /// From the request line; what is not known becomes [`Method::Other`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Other => "OTHER",
        })
    }
}

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The sender's number for it.
    pub id: RequestId,
    /// What to do.
    pub method: Method,
    /// Absolute, or path and query alone.
    pub uri: String,
    /// In order, names in any case.
    pub headers: Headers,
    /// Empty when there is none.
    pub body: Bytes,
}

impl Request {
    /// The first header of this name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The token of `Authorization: Bearer`, if there is one.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("Authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The number of the request that it answers.
    pub id: RequestId,
    /// 100 to 599.
    pub status: u16,
    /// In order, names in any case.
    pub headers: Headers,
    /// Empty when there is none.
    pub body: Bytes,
}

impl Response {
    /// A response without a body.
    #[must_use]
    pub const fn empty(id: RequestId, status: u16) -> Self {
        Self { id, status, headers: Headers::new(), body: Bytes::new() }
    }

    /// The first header of this name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// Whether the status is 200 to 299.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// A request that got no response: the connection was refused, broke, or its name was
/// not found. The reason is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The number of the request.
    pub id: RequestId,
    /// What happened, in words.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_any_case_and_bearers_need_their_scheme() {
        let mut request = Request {
            id: RequestId(1),
            method: Method::Get,
            uri: "/".into(),
            headers: [("authorization", "bearer abc")].into(),
            body: Bytes::new(),
        };
        assert_eq!(request.bearer(), Some("abc"));
        request.headers = [("authorization", "Basic abc")].into();
        assert_eq!(request.bearer(), None);
    }

    #[test]
    fn an_unknown_method_is_kept_apart_from_the_known_ones() {
        assert_eq!(Method::parse("PATCH"), Method::Patch);
        assert_eq!(Method::parse("get"), Method::Other);
    }
}
