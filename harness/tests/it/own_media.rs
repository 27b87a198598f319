//! Media that a bot handles itself, over WebRTC: a sample with the sockets of the SDK on one
//! side, the platform on the other, and Ann's telephone behind it.

use std::net::SocketAddr;
use std::time::Duration;

use callrig::app::{App, Settings};
use callrig::bots::samples;
use callrig::validate::bot::live::{self, Subject};
use callrig::validate::bot::script::{Act, Script, When, cue};
use callrig::validate::bot::transcript::{Kind, Transcript};
use callrig_media::description::MediaKind;

const APP: &str = "11111111-1111-4111-8111-111111111111";
/// Loud enough to be what Ann said.
const LOUD: u16 = 1_000;

/// A call with a sample over real sockets: Ann speaks, shows her camera, asks for key frames.
async fn call(sample: &str, length: Duration) -> Transcript {
    let platform = crate::free_address();
    let settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..Settings::new(APP, "demonstration").at(&format!("http://{platform}"))
    };
    let app = App::start(settings).await.expect("the bot starts");
    let webhook = format!("http://{}/api/calls", app.address());
    let sample = samples::find(sample).expect("it is there");
    let bot = tokio::spawn((sample.program)(app));
    let secret = "demonstration".to_owned();
    let subject = Subject { webhook, app: APP.to_owned(), secret, listen: platform };
    let flows = When::Told(Kind::MediaActive, 1);
    let script = Script {
        pictures: true,
        cues: vec![
            cue(flows, 800, Act::Speak(Duration::from_secs(1))),
            cue(flows, 1_500, Act::AskForKeyFrames),
        ],
        patience: length,
        aftermath: Duration::from_millis(300),
        ..Script::default()
    };
    let played = live::play(&subject, &[script], |_| {}).await.expect("the platform starts");
    bot.abort();
    let transcript = played.transcripts.into_iter().next().expect("one was played");
    assert_eq!(transcript.fault, None);
    transcript
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_is_heard_and_seen_over_webrtc() {
    let transcript = call("echo", Duration::from_secs(4)).await;
    let wire = &transcript.wire;
    let lines: Vec<String> =
        transcript.entries.iter().map(callrig::validate::bot::evidence::line).collect();
    let lines = lines.join("\n");
    let sound = wire.sources_of(MediaKind::Audio);
    assert_eq!(sound.len(), 1, "one source of sound: {:?}\n{lines}", wire.sources);
    let packets = wire.packets_of(sound[0]).count();
    assert!(packets > 75, "only {packets} packets of sound\n{lines}");
    assert!(wire.said.iter().any(|level| level.level > LOUD), "Ann spoke");
    assert!(wire.heard.iter().any(|level| level.level > LOUD), "Ann heard nothing of it");
    assert!(wire.seen.len() > 15, "only {} pictures; {:?}", wire.seen.len(), wire.unseen);
    let asked = wire.asked.first().expect("Ann asked for key frames");
    let answered = wire.seen.iter().any(|frame| frame.key_frame && frame.arrived_first > *asked);
    assert!(answered, "no key frame came");
    let stats = wire.stats.as_ref().expect("the platform counted");
    assert!(stats.rtcp_received >= 2, "{} reports", stats.rtcp_received);
    assert!(wire.reports.iter().all(|(_, report)| report.fraction_lost < 0.5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_and_a_screen_are_seen_over_webrtc() {
    let transcript = call("playback", Duration::from_secs(3)).await;
    let wire = &transcript.wire;
    for kind in [MediaKind::Video, MediaKind::ScreenSharing] {
        let sources = wire.sources_of(kind);
        let seen = wire.seen.iter().filter(|frame| sources.contains(&frame.ssrc)).count();
        assert!(seen >= 5, "only {seen} pictures of {kind:?}; {:?}", wire.unseen);
    }
    assert!(wire.heard.iter().any(|level| level.level > LOUD), "Ann heard nothing");
}
