//! Keys that take over from others while calls go on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{APP, Bot, Rig, TENANT, service_hosted};

impl Rig {
    /// A token of an app, from the login service.
    pub(super) async fn token(&self, app: &str, secret: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={app}&client_secret={secret}\
             &scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        );
        let url = format!("{}/{TENANT}/oauth2/v2.0/token", self.base);
        let kind = "application/x-www-form-urlencoded";
        let request = self.client.post(url).header("content-type", kind).body(form);
        let answer = request.send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    async fn status_as(&self, token: &str, path: &str) -> u16 {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(token);
        request.send().await.expect("an answer").status().as_u16()
    }

    async fn published(&self) -> Vec<String> {
        let set = self.get("/v1/.well-known/keys").await;
        let keys = set["keys"].as_array().unwrap_or_else(|| panic!("{set}"));
        keys.iter().map(|key| key["kid"].as_str().expect("a name").to_owned()).collect()
    }
}

/// Which key signed it.
fn signer(token: &str) -> String {
    let header = token.split('.').next().expect("a header");
    let header = URL_SAFE_NO_PAD.decode(header).expect("it is base64");
    let header: Value = serde_json::from_slice(&header).expect("it is JSON");
    header["kid"].as_str().expect("it names its key").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_takes_over_on_every_shard_without_dropping_a_call() {
    let bot = Bot::start().await;
    let more = "server.shards = 2\n[tokens]\nrequired = true\nannounced = \"0s\"\n";
    let rig = Rig::start(&bot, more).await;
    let webhook = format!("{}/api/calls", bot.base);
    let app = json!({ "name": "bot", "webhook": webhook, "secret": "open sesame" });
    assert_eq!(rig.send(Method::PUT, &format!("/rig/apps/{APP}"), &app).await.0, 204);
    let (call, _) = rig.ring(&json!({ "user": "Ann" })).await;
    bot.told_state("incoming").await;
    let path = format!("/v1.0/communications/calls/{call}");
    let before = rig.token(APP, "open%20sesame").await;
    assert_eq!(rig.status_as(&before, &path).await, 200);

    let (status, added) = rig.post("/rig/keys", &json!({})).await;
    assert_eq!((status, &added["signsInSeconds"]), (201, &json!(0)), "{added}");
    let after = rig.token(APP, "open%20sesame").await;
    assert_eq!(signer(&after), added["kid"].as_str().expect("a name"));
    assert_ne!(signer(&after), signer(&before));
    assert_eq!(rig.published().await, [signer(&before), signer(&after)]);
    for token in [&before, &after] {
        assert_eq!(rig.status_as(token, &path).await, 200, "both are good");
    }
    let url = format!("{}{path}/answer", rig.base);
    let answer = rig.client.post(url).bearer_auth(&after).json(&service_hosted()).send().await;
    assert_eq!(answer.expect("an answer").status(), 202);
    bot.told_state("established").await;
    // On the other shard too: whichever is asked, every token is known.
    for _ in 0..8 {
        assert_eq!(rig.status_as(&before, "/v1.0/communications/calls/none").await, 404);
    }

    let (status, refused) = rig.post("/rig/keys", &json!({ "key": "no key" })).await;
    assert_eq!(status, 400, "{refused}");
    let message = refused["error"]["message"].as_str().expect("words");
    assert!(message.contains("key: the key is no RSA key"), "{message}");
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_needs_a_key_where_callers_go_by_their_names() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    let (status, refused) = rig.post("/rig/keys", &json!({})).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused["error"]["message"].as_str().expect("words").contains("by name"));
    rig.running.stop().await;
}
