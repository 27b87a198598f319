//! Notifications: what the platform POSTs to a bot when a call, a roster or an operation
//! changed.

use serde_json::Value;

use super::ChangeType;
use super::shape::graph_struct;

graph_struct! {
    /// What one POST carries.
    CommsNotifications("commsNotifications") {
        /// In order.
        value: Option<Vec<CommsNotification>>,
    }
}

graph_struct! {
    /// One change of one resource.
    CommsNotification("commsNotification") {
        /// What happened.
        change_type: Option<ChangeType>,
        /// To what, as newer apps read it.
        #[serde(rename = "resourceUrl")]
        resource_url: Option<String>,
        /// To what, as older apps read it.
        resource: Option<String>,
        /// The resource, or an array of them for rosters.
        resource_data: Option<Value>,
    }
}
