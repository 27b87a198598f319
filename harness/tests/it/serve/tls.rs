//! TLS with the authority that the rig writes out, and HTTP/2.

use std::net::SocketAddr;

use super::{APP, Bot, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_insists_on_the_real_names_comes_over_by_dns_and_trust() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    let authority = rig.running.live().authority.clone().expect("it was made here");
    let (address, tls): (SocketAddr, bool) = rig.running.addresses()[1];
    assert!(tls);
    let trusted = reqwest::Certificate::from_pem(authority.as_bytes()).expect("a certificate");
    for name in ["graph.microsoft.com", "login.microsoftonline.com", "api.aps.skype.com"] {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([trusted.clone()])
            .resolve(name, address)
            .build()
            .expect("a client");
        let url = format!("https://{name}:{}/v1.0/communications/calls/{APP}", address.port());
        let answer = client.get(url).bearer_auth(APP).send().await.expect("it is trusted");
        assert_eq!(answer.version(), reqwest::Version::HTTP_2, "{name}");
        assert_eq!(answer.status(), 404, "there is no such call");
    }
    let stranger = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("https://localhost:{}/health", address.port());
    assert!(stranger.get(url).send().await.is_err(), "nobody else trusts it");
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_without_tls_to_who_begins_with_it() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    let client =
        reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    let answer = client.get(format!("{}/health", rig.base)).send().await.expect("an answer");
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    rig.running.stop().await;
}
