//! A URL, by GET: for a comparison with other generators of load.

/// The URL, and what asks for it.
pub struct Plain {
    client: reqwest::Client,
    url: reqwest::Url,
}

impl Plain {
    /// Asks for this URL.
    ///
    /// # Errors
    /// It is none, or no client can be made.
    pub fn new(url: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(url).map_err(|error| format!("{url:?}: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("{url}: only http and https can be called"));
        }
        Ok(Self { client: client()?, url })
    }

    pub(super) async fn call(&self) -> Result<(), String> {
        let answer = self.client.get(self.url.clone()).send().await.map_err(|e| failure(&e))?;
        let status = answer.status();
        answer.bytes().await.map_err(|error| failure(&error))?;
        if status.is_success() { Ok(()) } else { Err(format!("answered {}", status.as_u16())) }
    }
}

/// A client that keeps connections and goes through nobody's proxy.
pub(super) fn client() -> Result<reqwest::Client, String> {
    crate::web::choose_cryptography();
    reqwest::Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| format!("no HTTP client: {error}"))
}

/// Why a request failed, in few kinds: addresses and times would make each its own.
pub(super) fn failure(error: &reqwest::Error) -> String {
    let kind = match error {
        _ if error.is_timeout() => "timed out",
        _ if error.is_connect() => "cannot connect",
        _ if error.is_body() || error.is_decode() => "the answer broke off",
        _ => "the request failed",
    };
    kind.to_owned()
}
