//! The control API of a platform, as a client.

use reqwest::Method;
use serde_json::Value;

use super::super::http::failure;

/// Where a platform is, and how it is asked.
#[derive(Clone)]
pub(super) struct Control {
    pub(super) client: reqwest::Client,
    pub(super) base: String,
    pub(super) token: Option<String>,
}

impl Control {
    /// A request, with what the control API wants of everybody.
    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// A command, and what came of it.
    ///
    /// # Errors
    /// In words: it cannot be reached, or refuses.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, String> {
        let what = format!("{method} {path}");
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.json(body);
        }
        self.answered(&what, request).await
    }

    /// What comes of a request.
    ///
    /// # Errors
    /// In words: it cannot be reached, or refuses.
    pub(super) async fn answered(
        &self,
        what: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<Value, String> {
        let answer = request.send().await.map_err(|error| failure(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| failure(&error))?;
        if !status.is_success() {
            let body: String = String::from_utf8_lossy(&body).chars().take(200).collect();
            return Err(format!("{what} was answered {}: {body}", status.as_u16()));
        }
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}
