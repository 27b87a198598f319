//! The API's JSON: what is read of any type is written and read the same.

use callrig_signaling::blob;
use callrig_signaling::graph::{self, parse};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn survives<T: DeserializeOwned + Serialize + PartialEq + core::fmt::Debug>(body: &[u8]) {
    let Ok(read) = parse::<T>(body) else { return };
    let written = serde_json::to_vec(&read).expect("what was read can be written");
    let again: T = parse(&written).unwrap_or_else(|error| panic!("{error}: {read:?}"));
    assert_eq!(again, read);
}

/// A body of every type that is read from outside.
pub fn bodies(body: &[u8]) {
    survives::<graph::CommsNotifications>(body);
    survives::<graph::Call>(body);
    survives::<graph::Participant>(body);
    survives::<graph::Operation>(body);
    survives::<graph::OnlineMeeting>(body);
    survives::<graph::ErrorBody>(body);
    survives::<graph::Answer>(body);
    survives::<graph::Reject>(body);
    survives::<graph::Redirect>(body);
    survives::<graph::Transfer>(body);
    survives::<graph::PlayPrompt>(body);
    survives::<graph::RecordResponse>(body);
    survives::<graph::SendDtmfTones>(body);
    survives::<graph::Invite>(body);
    survives::<graph::MuteAll>(body);
    survives::<graph::UpdateMetadata>(body);
}

/// A blob: what is understood of it is written and understood the same.
pub fn blob(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(description) = blob::parse(text) else { return };
    for kind in [blob::Kind::Offer, blob::Kind::Answer] {
        assert_eq!(blob::parse(&blob::write(kind, &description)).as_ref(), Ok(&description));
    }
}
