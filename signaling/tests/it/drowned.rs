//! Who is drowned by louder voices is not decoded, and is heard as soon as it is loud enough: just
//! as where everybody is decoded, since nobody says how loud it is.

use std::net::SocketAddr;

use callrig_media::description::MediaDescription;
use callrig_media::event::Event;
use callrig_media::stats::Track;

use crate::gallery::come;
use crate::groups::{create, join, world};
use crate::world::{CROWD, World, crowd};

/// How many are heard at once.
const SPEAKERS: usize = 4;
const LOUD: i16 = 6_000;
/// 10 dB less, and from one to the next a little less again.
const QUIET: i16 = 1_900;

/// A crowd in which the first few are loud and all others are not, and somebody who listens.
fn crowded(tells: bool) -> (World, Vec<SocketAddr>, SocketAddr) {
    let mut world = world();
    create(&mut world, &join("19:x"));
    world.run_ms(200);
    let line = || {
        let mut line = MediaDescription::audio("a");
        if !tells {
            line.extensions.clear();
        }
        vec![line]
    };
    let people: Vec<_> =
        (0..CROWD).map(|number| come(&mut world, &crowd(number), line())).collect();
    let listener = come(&mut world, "ann", line());
    for (number, address) in people.iter().enumerate() {
        let person = world.person(*address);
        person.speaks = true;
        // So that it is clear who gives way, and who comes next.
        let number = i16::try_from(number).expect("they are few");
        let quiet = number - SPEAKERS as i16;
        person.amplitude = if quiet < 0 { LOUD + 800 * number } else { QUIET - 300 * quiet };
    }
    (world, people, listener)
}

/// How many milliseconds of somebody's sound were not decoded so far, and how many came.
fn drowned(world: &mut World, address: SocketAddr) -> (u64, u64) {
    let leg = world.person(address).leg;
    let stats = world.service.leg_stats(leg).expect("it is connected");
    let of = |count: fn(&callrig_media::jitter::Stats) -> u64| -> u64 {
        let playouts = stats.inbound.iter().filter_map(|stream| match &stream.track {
            Track::Sound { playout, .. } => Some(playout),
            _ => None,
        });
        playouts.map(count).sum()
    };
    let of_rate = |samples: u64| samples / 16;
    (of_rate(of(|one| one.drowned_samples)), of_rate(of(|one| one.jitter_buffer_emitted_count)))
}

/// Who was in the mix, in 20 ms each, and how loud it was.
fn heard(world: &mut World, listener: SocketAddr) -> (Vec<Vec<u32>>, f64) {
    let mut named = Vec::new();
    let (mut sum, mut count) = (0.0, 0.0);
    for event in core::mem::take(&mut world.person(listener).heard) {
        match event {
            Event::Contributors { csrcs, .. } => {
                let mut csrcs = csrcs.to_vec();
                csrcs.sort_unstable();
                if named.last() != Some(&csrcs) {
                    named.push(csrcs);
                }
            }
            Event::Audio(audio) => {
                sum += audio.samples.iter().map(|one| f64::from(*one).powi(2)).sum::<f64>();
                count += audio.samples.len() as f64;
            }
            _ => {}
        }
    }
    (named, (sum / f64::max(count, 1.0)).sqrt())
}

#[test]
fn who_is_drowned_is_not_decoded_and_heard_as_soon_as_it_is_loud() {
    let run = |tells: bool| {
        let (mut world, people, listener) = crowded(tells);
        // Whoever came first has more to say at once.
        world.run_ms(2_000);
        heard(&mut world, listener);
        let all =
            |world: &mut World| people.iter().map(|one| drowned(world, *one)).collect::<Vec<_>>();
        let settled = all(&mut world);
        world.run_ms(3_000);
        let first = heard(&mut world, listener);
        let before = all(&mut world);
        // The last one raises its voice, and then two of the first fall silent.
        let last = people[CROWD - 1];
        world.person(last).amplitude = 4 * LOUD;
        world.run_ms(200);
        let after = drowned(&mut world, last);
        world.run_ms(1_000);
        let second = heard(&mut world, listener);
        let much_later = drowned(&mut world, last);
        for one in &people[1..3] {
            world.person(*one).speaks = false;
        }
        world.run_ms(5_000);
        let third = heard(&mut world, listener);
        let fresh = all(&mut world);
        let since = before.iter().zip(&settled).map(|(now, then)| (now.0 - then.0, now.1 - then.1));
        let since: Vec<_> = since.collect();
        ((since, before), (after, much_later), fresh, [first, second, third])
    };
    let ((since, before), (after, much_later), fresh, told) = run(true);
    for (number, (drowned, played)) in since.iter().enumerate() {
        let (drowned, played) = (*drowned as f64, *played as f64);
        assert!(played > 2_900.0, "{number}: {since:?}");
        match number < SPEAKERS {
            true => assert!(drowned < 0.01 * played, "{number} is heard: {since:?}"),
            false => assert!(drowned > 0.99 * played, "{number} is not: {since:?}"),
        }
    }
    // What was on its way, or waited, when it raised its voice drowns.
    let late = after.0 - before[CROWD - 1].0;
    assert!(late <= 120, "{late} ms of its sound are not decoded: {before:?} {after:?}");
    assert_eq!(much_later.0, after.0, "it is heard from then on");
    // Two of the four have stopped. One place is taken by who had to give way, and the other one by
    // the loudest of those who were drowned.
    let of =
        |number: usize| (fresh[number].0 - before[number].0, fresh[number].1 - before[number].1);
    let (drowned, played) = of(SPEAKERS);
    assert!(drowned < played - 2_000, "{drowned} of {played} ms");

    // The same is heard of the same people where nobody says how loud it is.
    let ((_, before), _, _, all) = run(false);
    assert!(before.iter().all(|(drowned, _)| *drowned == 0), "{before:?}");
    for (told, all) in told.iter().zip(&all) {
        // A place that becomes free is taken once the floor has sunk so far.
        assert_eq!((told.0.first(), told.0.last()), (all.0.first(), all.0.last()));
        assert!((told.1 / all.1 - 1.0).abs() < 0.02, "{} {}", told.1, all.1);
    }
    assert!(told[1].0.iter().all(|named| named.len() == SPEAKERS), "{told:?}");
}

#[test]
fn a_room_that_fell_asleep_wakes_up_for_somebody_quiet() {
    let (mut world, people, listener) = crowded(true);
    world.run_ms(2_000);
    for person in &people {
        world.person(*person).speaks = false;
    }
    world.run_ms(20_000);
    heard(&mut world, listener);
    world.person(people[CROWD - 2]).speaks = true;
    world.run_ms(1_000);
    let (_, loud) = heard(&mut world, listener);
    assert!(loud > f64::from(QUIET) / 2.0, "{loud}");
}
