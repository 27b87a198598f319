//! Error bodies. `code` is a string of digits for faults of the calls service, a word
//! for those of the layers in front of it.

use serde::{Deserialize, Serialize};

/// `{"error":{…}}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What it wraps.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetail {
    /// Digits, or a word.
    pub code: String,
    /// In words.
    pub message: String,
    /// What support would ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner_error: Option<InnerError>,
}

/// What support would ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InnerError {
    /// When, without a zone.
    pub date: String,
    /// The service's id of the request.
    #[serde(rename = "request-id")]
    pub request_id: String,
    /// The app's id of the request.
    #[serde(rename = "client-request-id")]
    pub client_request_id: String,
}
