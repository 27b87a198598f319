//! The keys that sign tokens: another one by hand, or every so often.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::routing::post;
use callrig_signaling::auth::{KeyError, SigningKey};
use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::directory::everywhere;
use super::{Operation, Outcome, Problem, bad, command};
use crate::serve::Live;

pub(super) fn operations() -> Vec<Operation> {
    let words =
        ("addKey", "Publishes another key, which signs tokens once all readers know of it.");
    vec![
        Operation::new(Method::POST, "/rig/keys", words, post(add))
            .takes::<AddKey>()
            .answers::<Added>(StatusCode::CREATED),
    ]
}

/// A key.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddKey {
    /// A private RSA key (PKCS #8, PEM); made here without it.
    #[serde(default)]
    pub key: Option<String>,
}

/// What became of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// Its name, as tokens have it in `kid`.
    pub kid: String,
    /// In how many seconds it begins to sign.
    pub signs_in_seconds: u64,
}

/// A new key.
///
/// # Errors
/// None can be made.
pub fn generate() -> Result<SigningKey, KeyError> {
    SigningKey::generate(|bytes| rand::rng().fill_bytes(bytes))
}

async fn add(
    State(live): State<Arc<Live>>,
    request: Request,
) -> Outcome<(StatusCode, Json<Added>)> {
    let asked: AddKey = command(request).await?;
    let key = match &asked.key {
        Some(pem) => {
            SigningKey::from_pkcs8_pem(pem).map_err(|error| bad(format!("key: {error}.")))?
        }
        None => made().await?,
    };
    let added = Added {
        kid: key.id().to_owned(),
        signs_in_seconds: live.settings.tokens.announced.as_secs(),
    };
    publish(&live, key).await?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// Makes one, beside the threads that answer requests: it takes a while.
async fn made() -> Outcome<SigningKey> {
    let made = tokio::task::spawn_blocking(generate).await;
    made.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
}

fn failed(message: String) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "NoKey", message)
}

/// Tells every shard, each of which takes the tokens of any other.
async fn publish(live: &Live, key: SigningKey) -> Outcome<()> {
    let publish =
        everywhere(live, move |inside| inside.actor.service.add_key(inside.now, key.clone()));
    publish
        .await?
        .map_err(|error| Problem::new(StatusCode::CONFLICT, "KeyNotAdded", error.to_string()))
}

/// Lets another key take over every so often, while the server is there.
pub fn rotate(live: &Arc<Live>) {
    let every = live.settings.tokens.rotate_every;
    if every.is_zero() || !live.settings.tokens.required {
        return;
    }
    let (live, mut closing) = (Arc::clone(live), live.closing.clone());
    tokio::spawn(async move {
        while tokio::time::timeout(every, closing.changed()).await.is_err() {
            let turned = match made().await {
                Ok(key) => publish(&live, key).await,
                Err(problem) => Err(problem),
            };
            match turned {
                Ok(()) => tracing::info!("another key will sign tokens"),
                Err(problem) => tracing::error!(?problem, "no other key could take over"),
            }
        }
    });
}
