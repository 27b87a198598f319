//! ICE-lite (RFC 8445 section 2.5): a side that is reached at its own address answers
//! checks and lets the peer choose. That is all of ICE a server needs, so this is a
//! responder on `rtc-stun`'s messages, which no other file names, and not `rtc-ice`'s agent:
//! the agent pairs candidates, keeps timers and checks of its own, and at 20 polls a second
//! costs each idle peer more than its media; a responder costs nothing until it is asked.
//! Deviation: of MESSAGE-INTEGRITY only the SHA-1 form is known, as WebRTC has it.

use core::net::SocketAddr;

use rtc_stun::attributes::{
    ATTR_ICE_CONTROLLED, ATTR_MESSAGE_INTEGRITY, ATTR_PRIORITY, ATTR_UNKNOWN_ATTRIBUTES,
    ATTR_USE_CANDIDATE, ATTR_USERNAME,
};
use rtc_stun::crypto::RTCCrypto;
use rtc_stun::error_code::{ErrorCode, ErrorCodeAttribute};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, MESSAGE_HEADER_SIZE, Message, Setter,
};
use rtc_stun::xoraddr::XorMappedAddress;

use crate::event::DropReason;

/// Checks are a hundred bytes long; what is longer than this is none.
const LENGTH_MAX: usize = 1024;

/// Below this a receiver that does not know an attribute must refuse the request.
const COMPREHENSION_OPTIONAL: u16 = 0x8000;

/// What a check means, besides that the peer is there.
pub(super) struct Check {
    /// To be sent back to where it came from.
    pub(super) answer: Vec<u8>,
    /// The check was in order; otherwise the answer says what was not.
    pub(super) passed: bool,
    /// The peer wants to use the way that the check took.
    pub(super) nominated: bool,
}

/// Answers checks that know both user fragments and our password.
#[derive(Debug)]
pub(super) struct Responder {
    /// `ours:theirs`.
    username: String,
    password: String,
}

impl Responder {
    pub(super) fn new(ufrag: &str, password: &str, remote_ufrag: &str) -> Self {
        Self { username: format!("{ufrag}:{remote_ufrag}"), password: password.to_owned() }
    }

    /// Takes a STUN message from `source`; nothing to do for what is no request.
    pub(super) fn check(
        &self,
        source: SocketAddr,
        datagram: &[u8],
        crypto: &dyn RTCCrypto,
    ) -> Result<Option<Check>, DropReason> {
        if datagram.len() > LENGTH_MAX || datagram.len() < MESSAGE_HEADER_SIZE {
            return Err(DropReason::MalformedStun);
        }
        let mut request = Message::new();
        request.unmarshal_binary(datagram).map_err(|_| DropReason::MalformedStun)?;
        if request.length as usize + MESSAGE_HEADER_SIZE != datagram.len() {
            return Err(DropReason::MalformedStun);
        }
        // RFC 8445 section 7.1: every agent writes one.
        FINGERPRINT.check(&request).map_err(|_| DropReason::MalformedStun)?;
        if request.typ != BINDING_REQUEST {
            // Answers and indications: we ask for nothing, and consent comes with requests.
            return Ok(None);
        }
        let username = request.get(ATTR_USERNAME).map_err(|_| DropReason::MalformedStun)?;
        if username != self.username.as_bytes() {
            return Err(DropReason::WrongCredentials);
        }
        MessageIntegrity::check(&mut request, self.password.as_bytes(), crypto)
            .map_err(|_| DropReason::WrongCredentials)?;
        let written = self.answer(&request, source, crypto);
        // The setters refuse texts that are too long; ours are not.
        let (answer, passed) = written.map_err(|_| DropReason::MalformedStun)?;
        let nominated = passed && request.contains(ATTR_USE_CANDIDATE);
        Ok(Some(Check { answer, passed, nominated }))
    }

    fn answer(
        &self,
        request: &Message,
        source: SocketAddr,
        crypto: &dyn RTCCrypto,
    ) -> Result<(Vec<u8>, bool), rtc_shared::error::Error> {
        let mut answer = Message::new();
        answer.transaction_id = request.transaction_id;
        let known = [ATTR_USERNAME, ATTR_MESSAGE_INTEGRITY, ATTR_PRIORITY, ATTR_USE_CANDIDATE];
        let unknown: Vec<u8> = request
            .attributes
            .0
            .iter()
            .map(|attribute| attribute.typ)
            .filter(|kind| kind.value() < COMPREHENSION_OPTIONAL && !known.contains(kind))
            .flat_map(|kind| kind.value().to_be_bytes())
            .collect();
        let error = if !unknown.is_empty() {
            Some((420, "Unknown Attribute"))
        } else if request.contains(ATTR_ICE_CONTROLLED) {
            // A lite side never chooses: the other one has to (RFC 8445 section 6.1.1).
            Some((487, "Role Conflict"))
        } else {
            None
        };
        answer.typ = if error.is_some() { BINDING_ERROR } else { BINDING_SUCCESS };
        answer.write_header();
        match error {
            Some((code, reason)) => {
                let reason = reason.as_bytes().to_vec();
                ErrorCodeAttribute { code: ErrorCode(code), reason }.add_to(&mut answer)?;
                if !unknown.is_empty() {
                    answer.add(ATTR_UNKNOWN_ATTRIBUTES, &unknown);
                }
            }
            None => {
                XorMappedAddress { ip: source.ip(), port: source.port() }.add_to(&mut answer)?;
            }
        }
        let password = self.password.clone();
        MessageIntegrity::new_short_term_integrity_with_provider(password, crypto)
            .add_to(&mut answer)?;
        FINGERPRINT.add_to(&mut answer)?;
        Ok((answer.raw, error.is_none()))
    }
}

/// The user fragment of ours that a check names, without a look at the rest of it.
pub(super) fn named_ufrag(datagram: &[u8]) -> Option<&[u8]> {
    let mut rest = datagram.get(MESSAGE_HEADER_SIZE..)?;
    while let Some((head, behind)) = rest.split_first_chunk::<4>() {
        let [kind @ .., high, low] = *head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if u16::from_be_bytes(kind) == ATTR_USERNAME.value() {
            let username = behind.get(..length)?;
            return username.split(|byte| *byte == b':').next();
        }
        rest = behind.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use rtc_stun::crypto::{RTCCryptoProvider, default_provider};
    use rtc_stun::message::BINDING_REQUEST;
    use rtc_stun::textattrs::TextAttribute;

    use super::*;

    const PASSWORD: &str = "a password of twenty-two";

    fn provider() -> std::sync::Arc<dyn RTCCryptoProvider> {
        default_provider().expect("ring is built in")
    }

    fn source() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 7], 4_000))
    }

    fn request(username: &str, password: &str, extra: &[(u16, &[u8])]) -> Vec<u8> {
        let provider = provider();
        let mut message = Message::new();
        message.typ = BINDING_REQUEST;
        message.write_header();
        TextAttribute::new(ATTR_USERNAME, username.to_owned()).add_to(&mut message).expect("short");
        for (kind, value) in extra {
            message.add(rtc_stun::attributes::AttrType(*kind), value);
        }
        MessageIntegrity::new_short_term_integrity_with_provider(
            password.to_owned(),
            provider.crypto(),
        )
        .add_to(&mut message)
        .expect("it is the first");
        FINGERPRINT.add_to(&mut message).expect("it is the last");
        message.raw
    }

    fn check(datagram: &[u8]) -> Result<Option<Check>, DropReason> {
        let responder = Responder::new("ours", PASSWORD, "theirs");
        responder.check(source(), datagram, provider().crypto())
    }

    fn error_code(answer: &[u8]) -> Option<u16> {
        let mut message = Message::new();
        message.unmarshal_binary(answer).expect("we wrote it");
        let value = message.get(rtc_stun::attributes::ATTR_ERROR_CODE).ok()?;
        Some(u16::from(value[2]) * 100 + u16::from(value[3]))
    }

    #[test]
    fn a_check_with_the_right_credentials_is_answered_with_where_it_came_from() {
        let answered = check(&request("ours:theirs", PASSWORD, &[(0x25, &[]), (0x24, &[0; 4])]));
        let answered = answered.expect("it is right").expect("it is a request");
        assert!(answered.passed && answered.nominated);
        let mut message = Message::new();
        message.unmarshal_binary(&answered.answer).expect("we wrote it");
        assert_eq!(message.typ, BINDING_SUCCESS);
        let mut mapped = XorMappedAddress::default();
        rtc_stun::message::Getter::get_from(&mut mapped, &message).expect("it is there");
        assert_eq!(SocketAddr::new(mapped.ip, mapped.port), source());
        let provider = provider();
        MessageIntegrity::check(&mut message, PASSWORD.as_bytes(), provider.crypto())
            .expect("it is signed with our password");
    }

    #[test]
    fn a_peer_that_will_not_choose_is_told_to_and_unknown_attributes_are_named() {
        let conflict = check(&request("ours:theirs", PASSWORD, &[(0x8029, &[0; 8])]));
        let conflict = conflict.expect("it is signed").expect("it is a request");
        assert!(!conflict.passed);
        assert_eq!(error_code(&conflict.answer), Some(487));
        let unknown = check(&request("ours:theirs", PASSWORD, &[(0x7abc, &[1])]));
        let unknown = unknown.expect("it is signed").expect("it is a request");
        assert_eq!(error_code(&unknown.answer), Some(420));
        assert!(!unknown.nominated);
    }

    #[test]
    fn wrong_credentials_and_damage_have_each_their_reason() {
        let reason = |datagram: &[u8]| check(datagram).err();
        let good = request("ours:theirs", PASSWORD, &[]);
        assert_eq!(reason(&request("x:theirs", PASSWORD, &[])), Some(DropReason::WrongCredentials));
        assert_eq!(reason(&request("ours:x", PASSWORD, &[])), Some(DropReason::WrongCredentials));
        let guessed = request("ours:theirs", "another of twenty-two..", &[]);
        assert_eq!(reason(&guessed), Some(DropReason::WrongCredentials));
        for length in 0..good.len() {
            assert_eq!(reason(&good[..length]), Some(DropReason::MalformedStun), "{length}");
        }
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 0x40;
            assert!(!matches!(check(&damaged), Ok(Some(_))), "byte {at}");
        }
        let mut longer = good;
        longer.extend([0; 4]);
        assert_eq!(reason(&longer), Some(DropReason::MalformedStun));
    }

    #[test]
    fn the_user_fragment_is_found_without_reading_the_rest() {
        assert_eq!(named_ufrag(&request("ours:theirs", PASSWORD, &[])), Some(&b"ours"[..]));
        assert_eq!(named_ufrag(&[0; 40]), None);
        assert_eq!(named_ufrag(&[]), None);
        let cut = &request("ours:theirs", PASSWORD, &[])[..26];
        assert_eq!(named_ufrag(cut), None);
    }
}
