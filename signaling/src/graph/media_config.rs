//! Who handles a call's media: the service (prompts, recording, tones) or the app
//! itself. Deviation, for any app without access to a private media plane: the `blob` of
//! app-hosted media is base64 of an RTCSessionDescriptionInit, `{"type":"offer","sdp":…}`,
//! and the answer comes back in the same property.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::shape::{graph_struct, same_type};

graph_struct! {
    /// A media file.
    MediaInfo("mediaInfo") {
        /// Where it is.
        uri: Option<String>,
        /// The key under which it is kept.
        resource_id: Option<String>,
    }
}

graph_struct! {
    /// Something to play; the only kind is a media prompt.
    Prompt("mediaPrompt") {
        /// What to play.
        media_info: Option<MediaInfo>,
        /// How often, in 2018's documentation; 0 without end.
        #[serde(rename = "loop")]
        repeat: Option<super::Number>,
    }
}

graph_struct! {
    /// The service handles media.
    ServiceHostedMediaConfig("serviceHostedMediaConfig") {
        /// Files that will be needed soon.
        pre_fetch_media: Option<Vec<MediaInfo>>,
        /// Not heard by default (beta).
        remove_from_default_audio_group: Option<bool>,
    }
}

graph_struct! {
    /// The app handles media.
    AppHostedMediaConfig("appHostedMediaConfig") {
        /// Its session description.
        blob: Option<String>,
        /// Not heard by default (beta).
        remove_from_default_audio_group: Option<bool>,
    }
}

/// Who handles media.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaConfig {
    /// The service.
    ServiceHosted(ServiceHostedMediaConfig),
    /// The app.
    AppHosted(AppHostedMediaConfig),
    /// A kind that we do not know.
    Other(Map<String, Value>),
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self::ServiceHosted(ServiceHostedMediaConfig::typed())
    }
}

impl MediaConfig {
    /// App-hosted with this blob.
    #[must_use]
    pub fn app_hosted(blob: String) -> Self {
        Self::AppHosted(AppHostedMediaConfig { blob: Some(blob), ..AppHostedMediaConfig::typed() })
    }

    /// Whether the app handles media.
    #[must_use]
    pub const fn is_app_hosted(&self) -> bool {
        matches!(self, Self::AppHosted(_))
    }
}

impl Serialize for MediaConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::ServiceHosted(config) => config.serialize(serializer),
            Self::AppHosted(config) => config.serialize(serializer),
            Self::Other(map) => map.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for MediaConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let map = Map::deserialize(deserializer)?;
        let named = match map.get("@odata.type") {
            Some(Value::String(name)) => Some(name.clone()),
            Some(_) => return Err(D::Error::custom("@odata.type must be a string")),
            None => None,
        };
        let app_hosted = match named.as_deref() {
            Some(name) if same_type(name, "appHostedMediaConfig") => true,
            Some(name) if same_type(name, "serviceHostedMediaConfig") => false,
            Some(_) => return Ok(Self::Other(map)),
            None => map.contains_key("blob"),
        };
        let value = Value::Object(map);
        if app_hosted {
            serde_json::from_value(value).map(Self::AppHosted).map_err(D::Error::custom)
        } else {
            serde_json::from_value(value).map(Self::ServiceHosted).map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MediaConfig, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_config_is_told_apart_by_its_type_or_else_by_its_blob() {
        let typed = r##"{"@odata.type":"#Microsoft.Graph.AppHostedMediaConfig"}"##;
        assert!(read(typed).expect("it is valid").is_app_hosted());
        assert!(read(r#"{"blob":"x"}"#).expect("it is valid").is_app_hosted());
        assert!(!read("{}").expect("it is valid").is_app_hosted());
        assert!(read(r#"{"@odata.type":7}"#).is_err());
        assert!(read(r#"{"blob":7}"#).is_err());
    }

    #[test]
    fn a_kind_of_tomorrow_survives() {
        let text = r##"{"@odata.type":"#microsoft.graph.cloudHosted","x":1}"##;
        let config = read(text).expect("it is valid");
        assert!(matches!(config, MediaConfig::Other(_)));
        assert_eq!(serde_json::to_string(&config).expect("it is JSON"), text);
    }
}
