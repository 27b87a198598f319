//! Whom a bot believes: notifications carry a token of the platform's, and a bot that takes
//! one without, or with a bad one, can be told anything by anybody.

use super::super::case::{Case, Outcome, Seen, judged};
use super::super::profile::{Profile, Reaction};
use super::super::script::{Act, Begins, Body, How, On, Post, Script, Token, Trouble, When, cue};
use super::super::transcript::Kind;
use super::{CALL_STANDS, seconds, status, told_so};
use crate::case::rule::Rule;

const CITATION: &str = "Teams: calling notifications, authenticate the callback; RFC 8725";

/// A way in which a token is bad, and the rule that it breaks.
struct Forgery {
    name: &'static str,
    /// The case of an incoming call with it.
    incoming: &'static str,
    token: Token,
    rule: Rule,
}

const fn forgery(
    name: &'static str,
    token: Token,
    (id, incoming): (&'static str, &'static str),
    sentence: &'static str,
) -> Forgery {
    Forgery { name, incoming, token, rule: Rule::must(id, CITATION, sentence) }
}

const FORGERIES: [Forgery; 15] = [
    forgery(
        "missing",
        Token::Missing,
        ("bot/tokens/missing", "bot/tokens/incoming/missing"),
        "A notification without a token is refused.",
    ),
    forgery(
        "garbage",
        Token::Garbage,
        ("bot/tokens/garbage", "bot/tokens/incoming/garbage"),
        "A notification with a token that is none is refused.",
    ),
    forgery(
        "scheme",
        Token::Scheme,
        ("bot/tokens/scheme", "bot/tokens/incoming/scheme"),
        "A notification whose token comes under another scheme than Bearer is refused.",
    ),
    forgery(
        "alg-none",
        Token::AlgNone,
        ("bot/tokens/alg-none", "bot/tokens/incoming/alg-none"),
        "A token whose algorithm is `none` is refused.",
    ),
    forgery(
        "alg-hmac",
        Token::Hmac,
        ("bot/tokens/alg-hmac", "bot/tokens/incoming/alg-hmac"),
        "A token signed with the public key as a shared secret is refused.",
    ),
    forgery(
        "other-key",
        Token::OtherKey,
        ("bot/tokens/other-key", "bot/tokens/incoming/other-key"),
        "A token whose signature is not that of the key which it names is refused.",
    ),
    forgery(
        "unknown-key",
        Token::UnknownKey,
        ("bot/tokens/unknown-key", "bot/tokens/incoming/unknown-key"),
        "A token signed by a key that the platform does not publish is refused.",
    ),
    forgery(
        "tampered",
        Token::Tampered,
        ("bot/tokens/tampered", "bot/tokens/incoming/tampered"),
        "A token that was changed after it was signed is refused.",
    ),
    forgery(
        "unsigned",
        Token::Unsigned,
        ("bot/tokens/unsigned", "bot/tokens/incoming/unsigned"),
        "A token without its signature is refused.",
    ),
    forgery(
        "expired",
        Token::Expired,
        ("bot/tokens/expired", "bot/tokens/incoming/expired"),
        "A token that has expired is refused.",
    ),
    forgery(
        "not-yet",
        Token::NotYet,
        ("bot/tokens/not-yet", "bot/tokens/incoming/not-yet"),
        "A token that is not valid yet is refused.",
    ),
    forgery(
        "audience",
        Token::Audience,
        ("bot/tokens/audience", "bot/tokens/incoming/audience"),
        "A token for another app is refused.",
    ),
    forgery(
        "issuer",
        Token::Issuer,
        ("bot/tokens/issuer", "bot/tokens/incoming/issuer"),
        "A token of another issuer is refused.",
    ),
    forgery(
        "no-expiry",
        Token::NoExpiry,
        ("bot/tokens/no-expiry", "bot/tokens/incoming/no-expiry"),
        "A token without an end is refused.",
    ),
    forgery(
        "no-tenant",
        Token::NoTenant,
        ("bot/tokens/no-tenant", "bot/tokens/incoming/no-tenant"),
        "A token that names no organisation is refused.",
    ),
];

const ENDED: Rule = Rule::must(
    "bot/tokens/end-of-a-call",
    CITATION,
    "The end of a call is not believed of somebody who cannot prove to be the platform.",
);
const KEY: Rule = Rule::must(
    "bot/tokens/key-of-a-call",
    CITATION,
    "A key that was pressed is not believed of somebody who cannot prove to be the platform.",
);
const REFUSED_WITH: Rule = Rule::should(
    "bot/tokens/refused-with-401-or-403",
    CITATION,
    "A notification that is not believed is answered with 401 or 403.",
);
const OWN: Rule = Rule::must(
    "bot/tokens/api-token",
    CITATION,
    "The bot's own token for the API, sent back to it, is not taken for the platform's.",
);
const ROTATION: Rule = Rule::should(
    "bot/tokens/new-key",
    "OpenID Connect Core 1.0 section 10.1.1",
    "A key that the platform publishes later is looked up when a token names it.",
);
const KEYS_LATER: Rule = Rule::should(
    "bot/tokens/keys-unavailable",
    "OpenID Connect Discovery 1.0 section 4",
    "Where the keys cannot be had at first, they are looked up again, and nothing is believed until then.",
);

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let mut cases: Vec<Case> =
        FORGERIES.iter().map(|forgery| bad_caller(profile, forgery)).collect();
    for forgery in FORGERIES {
        cases.push(bad_end(profile, &forgery));
    }
    for name in ["missing", "alg-none", "expired", "audience"] {
        if let Some(forgery) = FORGERIES.iter().find(|forgery| forgery.name == name) {
            cases.push(bad_key(profile, forgery));
        }
    }
    cases.push(own_token(profile));
    cases.push(new_key(profile));
    cases.push(late_keys(profile));
    cases
}

fn post(body: Body, token: Token) -> Act {
    Act::Post(Post { name: "forged", body, token })
}

/// An incoming call that is not the platform's.
fn bad_caller(profile: &Profile, forgery: &Forgery) -> Case {
    let script = match profile.calls {
        Reaction::Never => Err("nobody calls this bot, as its profile says".to_owned()),
        _ => Ok(Script {
            begins: Begins::Nothing,
            cues: vec![cue(When::Start, 100, post(Body::Incoming, forgery.token))],
            ..Script::default()
        }),
    };
    let rule = forgery.rule;
    Case::new(
        format!("bot/tokens/incoming/{}", forgery.name),
        format!("a call is not believed: {}", forgery.rule.sentence),
        &[rule, REFUSED_WITH],
        script,
        move |seen| refused(seen, &rule),
    )
    .after(CALL_STANDS)
}

/// The end of a call that is not over.
fn bad_end(profile: &Profile, forgery: &Forgery) -> Case {
    let script = profile.call().map(|mut script| {
        let act = post(Body::Ended, forgery.token);
        script.cues.push(cue(When::Told(Kind::MediaActive, 1), 1_000, act));
        script
    });
    let rules = [ENDED, REFUSED_WITH];
    // Who believes anything of somebody is told so once.
    let first: &[&'static str] = match profile.calls {
        Reaction::Never => &[],
        _ => core::slice::from_ref(&forgery.incoming),
    };
    Case::new(
        format!("bot/tokens/ended/{}", forgery.name),
        format!("the end of a call is not believed: {}", forgery.rule.sentence),
        &rules,
        script,
        |seen| refused(seen, &ENDED),
    )
    .after(CALL_STANDS)
    .after(first)
}

/// A key that nobody pressed.
fn bad_key(profile: &Profile, forgery: &Forgery) -> Case {
    let script = match profile.keys.first() {
        None => Err("the bot listens to no keys, as its profile says".to_owned()),
        Some(key) => profile.call().map(|mut script| {
            let act = post(Body::Tone(key.press), forgery.token);
            script.cues.push(cue(When::Told(Kind::MediaActive, 1), 2_000, act));
            script
        }),
    };
    Case::new(
        format!("bot/tokens/key/{}", forgery.name),
        format!("a key is not believed: {}", forgery.rule.sentence),
        &[KEY, REFUSED_WITH],
        script,
        |seen| refused(seen, &KEY),
    )
    .after(CALL_STANDS)
    .after(&[forgery.incoming])
}

fn own_token(profile: &Profile) -> Case {
    let script = profile.call().map(|mut script| {
        let act = post(Body::Ended, Token::ApiToken);
        script.cues.push(cue(When::Told(Kind::MediaActive, 1), 1_000, act));
        script
    });
    Case::new(
        "bot/tokens/ended/api-token",
        "the bot's own token is not taken for the platform's",
        &[OWN, REFUSED_WITH],
        script,
        |seen| refused(seen, &OWN),
    )
    .after(CALL_STANDS)
}

fn new_key(profile: &Profile) -> Case {
    let script = match profile.calls {
        Reaction::Answers => Ok(Script {
            cues: vec![
                cue(When::Told(Kind::MediaActive, 1), 1_500, Act::HangUp),
                cue(When::Over, 11_000, Act::NewKey),
                cue(When::Over, 11_500, Act::Ring),
                cue(When::Told(Kind::MediaActive, 2), 1_500, Act::HangUp),
            ],
            patience: seconds(25),
            ..Script::default()
        }),
        _ => Err("the bot answers no calls, as its profile says".to_owned()),
    };
    Case::new(
        "bot/tokens/new-key",
        "a key that the platform publishes later is believed",
        &[ROTATION],
        script,
        |seen| {
            let incoming = |told: &super::super::transcript::Told<'_>| {
                super::super::transcript::kinds_of(&told.sent.request).contains(&Kind::Incoming)
            };
            let Some(second) = seen.transcript.told().filter(incoming).nth(1) else {
                return Outcome::NotJudged("there was no second call".to_owned());
            };
            let answered = seen.transcript.asks_for("answer").any(|answer| answer.at > second.at);
            judged((!answered).then(|| {
                let at = status(&second).0;
                seen.broken(&ROTATION, at, "the call is answered", told_so(&second))
            }))
        },
    )
    .after(CALL_STANDS)
}

fn late_keys(profile: &Profile) -> Case {
    let script = match profile.calls {
        Reaction::Answers => Ok(Script {
            troubles: vec![Trouble {
                name: "the keys cannot be had",
                on: On::Asked("metadata"),
                nth: Some(1),
                times: 1,
                how: How::Answer { status: 503, header: None, code: "" },
            }],
            patience: seconds(25),
            ..Script::default()
        }),
        _ => Err("the bot answers no calls, as its profile says".to_owned()),
    };
    Case::new(
        "bot/tokens/keys-unavailable",
        "keys that cannot be had at first are looked up again",
        &[KEYS_LATER],
        script,
        |seen| {
            let asked = seen.transcript.asks_for("metadata").next().is_some();
            let Some(incoming) = seen.transcript.told().next().filter(|_| asked) else {
                return Outcome::NotJudged("the bot did not look keys up".to_owned());
            };
            let answered = seen.transcript.asks_for("answer").next().is_some();
            judged((!answered).then(|| {
                let at = status(&incoming).0;
                let actual = format!("{}, and no answer to the call", told_so(&incoming));
                seen.broken(&KEYS_LATER, at, "the call is answered in the end", actual)
            }))
        },
    )
    .after(CALL_STANDS)
}

/// What was forged was refused, and not acted upon.
fn refused(seen: &Seen<'_>, rule: &Rule) -> Outcome {
    let Some(told) = seen.transcript.sent().find(|told| told.sent.stimulus == Some("forged"))
    else {
        return Outcome::NotJudged("the call did not come so far".to_owned());
    };
    let (at, status) = status(&told);
    let reacted = seen
        .transcript
        .asks()
        .find(|ask| ask.at >= told.at && ask.answer.is_some_and(|(_, a)| a.response.status == 404));
    judged(match (status, reacted) {
        (200..=399, _) => {
            let actual = format!("{status}: it was taken");
            Some(seen.broken(rule, at, "401 or 403, and nothing done", actual))
        }
        (_, Some(ask)) => {
            let actual = format!("{status}, and yet {}", ask.asked.action);
            Some(seen.broken(rule, ask.at, "401 or 403, and nothing done", actual))
        }
        (401 | 403, None) => None,
        (_, None) => Some(seen.broken(&REFUSED_WITH, at, "401 or 403", told_so(&told))),
    })
}
