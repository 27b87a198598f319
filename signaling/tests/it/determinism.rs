//! The same seed gives the same bytes.

use callrig_signaling::bot::{AnswerMedia, MediaFile};

use crate::world::{World, wav};

/// Everything that was said and sent in a call with prompts and media.
fn trace(seed: u64) -> String {
    let mut world = World::new(seed);
    world.files.insert("https://files.test/beep.wav".into(), wav(300));
    let (call, ann) = world.ring();
    world.run_ms(50);
    let media = AnswerMedia::ServiceHosted { pre_fetch: Vec::new() };
    world.with_bot(|bot, now| bot.answer(now, call, &media)).expect("it rings");
    world.run_ms(200);
    world.person(ann).speaks = true;
    let file = MediaFile { uri: "https://files.test/beep.wav".into(), resource_id: None };
    world.with_bot(|bot, now| bot.play_prompt(now, call, &[file])).expect("there");
    world.run_ms(2000);
    world.hang_up(ann);
    world.run_ms(500);
    let heard = &world.person(ann).heard;
    let heard = format!("{heard:?}");
    format!("{:?}\n{:?}\n{:?}\n{heard}", world.said, world.bot_said, world.notifications)
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_one_does_not() {
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}
