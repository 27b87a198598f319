//! A voice menu against `callrig serve`: it answers, plays a tone, and does what the
//! caller presses. 1 plays it again, 2 records five seconds, anything else hangs up.
//!
//! ```sh
//! callrig serve &                           # the demonstration app is this bot
//! cargo run -p callrig --example ivr_bot
//! ```

use callrig::app::{App, Call, CallError, Settings};
use callrig_corpora::format::wav;
use callrig_signaling::bot::Record;
use callrig_signaling::graph::Tone;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let rig = std::env::var("CALLRIG_URL").unwrap_or_else(|_| "http://127.0.0.1:9440".to_owned());
    let settings = Settings::new("11111111-1111-4111-8111-111111111111", "demonstration").at(&rig);
    let mut app = App::start(settings).await?;
    app.keep_file("menu.wav", tone()?);
    println!("answering calls on http://{}", app.address());
    while let Some(call) = app.incoming().await {
        tokio::spawn(async move {
            let caller = call.caller().unwrap_or("somebody").to_owned();
            println!("{caller}: {:?}", menu(call).await);
        });
    }
    Ok(())
}

async fn menu(mut call: Call) -> Result<(), CallError> {
    call.answer().await?;
    call.subscribe_to_tone().await?;
    call.play("menu.wav").await?;
    loop {
        match call.tone().await? {
            Tone::Tone1 => drop(call.play("menu.wav").await?),
            Tone::Tone2 => drop(call.record(Record::default()).await?),
            _ => return call.hang_up().await,
        }
    }
}

/// A second of 440 Hz, as the platform plays it: WAV, one channel, 16 bits, 16 kHz.
fn tone() -> anyhow::Result<Vec<u8>> {
    let samples = (0..16_000).map(|n| (f64::from(n) * 0.172_8).sin()).map(|s| (s * 8000.0) as i16);
    let mut file = std::io::Cursor::new(Vec::new());
    wav::write_pcm(&mut file, 16_000, 1, samples.collect::<Vec<i16>>())?;
    Ok(file.into_inner())
}
