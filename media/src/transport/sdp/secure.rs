//! The lines of a text that say how a WebRTC peer is reached: `a=ice-…`, `a=candidate`,
//! `a=fingerprint`, `a=setup` (RFC 8839, RFC 8122, RFC 8842).

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::ParseError;
use crate::description::secure::{CANDIDATES_MAX, Candidate};
use crate::description::{Secure, Setup, word};

/// Where a peer is said to be that will be found by ICE (RFC 8829 section 5.2.1).
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9);

/// Characters that a user fragment and a password may have, at least and at most.
const UFRAG: core::ops::RangeInclusive<usize> = 4..=256;
const PASSWORD: core::ops::RangeInclusive<usize> = 22..=256;

pub(super) fn is_plain(protocol: &str) -> bool {
    matches!(protocol, "RTP/AVP" | "RTP/AVPF")
}

/// What an offer of WebRTC may say (RFC 8829 section 5.1.2).
pub(super) fn is_secure(protocol: &str) -> bool {
    matches!(
        protocol,
        "UDP/TLS/RTP/SAVPF"
            | "UDP/TLS/RTP/SAVP"
            | "TCP/DTLS/RTP/SAVPF"
            | "TCP/DTLS/RTP/SAVP"
            | "RTP/SAVPF"
    )
}

/// Reads them for the media line with this index; `values` gives what stands behind each
/// attribute of a name, of the line or else of the session.
pub(super) fn read(
    index: usize,
    values: impl Fn(&'static str) -> Vec<String>,
) -> Result<Secure, ParseError> {
    let first = |attribute: &'static str| {
        let value = values(attribute).into_iter().next();
        value.ok_or(ParseError::Lacks { index, attribute })
    };
    let credential = |attribute, lengths: core::ops::RangeInclusive<usize>| {
        let value = first(attribute)?.trim().to_owned();
        // RFC 8839 section 5.4: letters, digits, + and /; some stacks write - and _ as well.
        if lengths.contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(value);
        }
        Err(ParseError::Attribute { index, attribute: format!("{attribute}:{value}") })
    };
    let (ufrag, password) = (credential("ice-ufrag", UFRAG)?, credential("ice-pwd", PASSWORD)?);
    let fingerprints = values("fingerprint");
    let sha256 = fingerprints.iter().find_map(|value| {
        let (hash, rest) = value.trim().split_once(' ')?;
        hash.eq_ignore_ascii_case("sha-256").then_some(rest)
    });
    let attribute = "fingerprint:sha-256";
    let fingerprint = sha256.ok_or(ParseError::Lacks { index, attribute })?;
    let fingerprint = fingerprint.parse().map_err(|_| ParseError::Attribute {
        index,
        attribute: format!("{attribute} {fingerprint}"),
    })?;
    let named = first("setup")?;
    let setup = Setup::from_name(named.trim())
        .ok_or_else(|| ParseError::Attribute { index, attribute: format!("setup:{named}") })?;
    let candidates = values("candidate");
    let candidates = candidates.iter().filter_map(|text| Candidate::parse(text));
    Ok(Secure {
        ufrag,
        password,
        ice_lite: !values("ice-lite").is_empty(),
        fingerprint,
        setup,
        candidates: candidates.take(CANDIDATES_MAX).collect(),
    })
}

/// Writes them for a media line; candidates stand on the first line only, whose way all
/// lines take.
pub(super) fn write(secure: &Secure, first: bool) -> Vec<(&'static str, Option<String>)> {
    let mut lines = vec![
        ("ice-ufrag", Some(word(&secure.ufrag))),
        ("ice-pwd", Some(word(&secure.password))),
        ("fingerprint", Some(format!("sha-256 {}", secure.fingerprint))),
        ("setup", Some(secure.setup.name().to_owned())),
    ];
    if first {
        let candidates = secure.candidates.iter();
        lines.extend(candidates.map(|candidate| ("candidate", Some(candidate.to_string()))));
        if secure.ice_lite {
            lines.push(("end-of-candidates", None));
        }
    }
    lines
}
