//! The DTLS handshake (RFC 6347, RFC 5763) by `rtc-dtls`, which no other file names. What it
//! would let a stranger do is stopped in front of it: it queues records of the next epoch
//! without end and puts handshake fragments together by recursion, so both are counted here
//! first. Deviations: it takes std's `Instant`, which nobody but the clock can make; one is
//! taken when the process first needs it, and only differences to it are ever used. Keys and
//! signatures come from the machine's randomness, so handshakes are not repeatable to the
//! byte, only in what they lead to.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::sync::{Arc, LazyLock};

use bytes::BytesMut;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig, VerifyPeerCertificateFn};
use rtc_dtls::crypto::Certificate as Inner;
use rtc_dtls::crypto_provider::{
    HashAlgorithm, RTCCryptoProvider, SecretVec, constant_time_eq, default_provider,
};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;

use super::Profile;
use super::hello::{Hello, Seen};
use crate::description::Fingerprint;
use crate::event::DropReason;
use crate::time::Instant;

/// The one association of an endpoint goes by this address, whatever way it takes.
const PEER: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// RFC 5764 section 4.2.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";

/// How long a flight may go unanswered before it is sent again; the eighth time the
/// handshake has failed.
const FLIGHT: Duration = Duration::from_secs(1);

/// Records of handshake that an association takes in all: some fifty times what one needs,
/// so that loss on the way has room.
const RECORDS_MAX: u32 = 512;

/// Records of the next epoch that may wait until the keys are there.
const EARLY_RECORDS_MAX: u32 = 32;

/// A handshake has at most so many messages from one side.
const MESSAGES_MAX: u16 = 32;

const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;
const CONTENT_HANDSHAKE: u8 = 22;

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "rtc-dtls wants one; only differences to it are used"
)]
static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// A certificate with its key, which any number of transports share.
#[derive(Clone)]
pub struct Certificate {
    inner: Inner,
    fingerprint: Fingerprint,
}

impl core::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Certificate").field(&self.fingerprint).finish()
    }
}

/// Two are the same if they have the same fingerprint.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Certificate {}

/// The machine's cryptography refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cryptography: {0}")]
pub struct CryptoError(pub(super) String);

impl CryptoError {
    pub(super) fn of(error: impl core::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl Certificate {
    /// A new one, signed by itself (RFC 8827 section 6.5), on P-256. Its key comes from the
    /// machine's randomness.
    ///
    /// # Errors
    /// The machine's cryptography refuses.
    pub fn generate() -> Result<Self, CryptoError> {
        let provider = provider()?;
        let inner = Inner::generate_self_signed(vec!["callrig".to_owned()], provider.crypto())
            .map_err(CryptoError::of)?;
        let der = inner.certificate.first().map(|der| der.as_ref()).unwrap_or_default();
        let fingerprint = fingerprint(der, &*provider)?;
        Ok(Self { inner, fingerprint })
    }

    /// What a description says of it.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

pub(super) fn provider() -> Result<Arc<dyn RTCCryptoProvider>, CryptoError> {
    default_provider().map_err(CryptoError::of)
}

fn fingerprint(der: &[u8], provider: &dyn RTCCryptoProvider) -> Result<Fingerprint, CryptoError> {
    let hash = provider.crypto().hash(HashAlgorithm::Sha256, der).map_err(CryptoError::of)?;
    Ok(Fingerprint(hash.try_into().map_err(|_| CryptoError("not 32 bytes".to_owned()))?))
}

/// What a datagram led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing new.
    Going,
    /// Both sides have their keys.
    Done,
    /// The peer has ended it.
    Closed,
    /// It has failed: the certificate is not the announced one, or the peer refuses.
    Failed,
}

/// Keys of SRTP, both ways.
pub(super) struct Exported {
    pub(super) profile: Profile,
    pub(super) material: SecretVec,
    pub(super) is_client: bool,
}

/// One association.
pub(super) struct Dtls {
    endpoint: Endpoint,
    client: Option<Arc<HandshakeConfig>>,
    /// With AES-GCM alone: `rtc-dtls` takes what the peer names first, and we like this
    /// better wherever the peer names it. Until its hello is there, nobody knows.
    preferred: Option<(Arc<HandshakeConfig>, Hello)>,
    expected: Fingerprint,
    records: u32,
    early_records: u32,
    done: bool,
    /// When the endpoint wants to be called: it is asked after each packet of media, and looks for
    /// it in far places.
    due: Option<Instant>,
}

impl Dtls {
    pub(super) fn new(
        certificate: &Certificate,
        expected: Fingerprint,
        begins: bool,
        provider: Arc<dyn RTCCryptoProvider>,
    ) -> Result<Self, CryptoError> {
        let hashing = provider.clone();
        let verify: VerifyPeerCertificateFn = Arc::new(move |chain, _| {
            let shown = chain.first().and_then(|der| fingerprint(der, &*hashing).ok());
            match shown.is_some_and(|shown| constant_time_eq(&shown.0, &expected.0)) {
                true => Ok(()),
                false => Err(Error::ErrInvalidCertificate),
            }
        });
        let profiles = vec![
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ];
        let builder = ConfigBuilder::default()
            .with_crypto_provider(provider)
            .with_certificates(vec![certificate.inner.clone()])
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(verify))
            .with_flight_interval(FLIGHT);
        let build = |profiles: &[SrtpProtectionProfile]| {
            let builder = builder.clone().with_srtp_protection_profiles(profiles.to_vec());
            builder.build(begins, None).map(Arc::new).map_err(CryptoError::of)
        };
        let config = build(&profiles)?;
        let preferred =
            if begins { None } else { Some((build(&profiles[..1])?, Hello::default())) };
        let server = (!begins).then(|| config.clone());
        Ok(Self {
            endpoint: Endpoint::new(PEER, TransportProtocol::UDP, server),
            client: begins.then_some(config),
            preferred,
            expected,
            records: 0,
            early_records: 0,
            done: false,
            due: None,
        })
    }

    /// There is a way to the peer: whoever begins, begins.
    pub(super) fn start(&mut self, now: Instant) -> Result<(), CryptoError> {
        match self.client.take() {
            Some(config) => {
                let begun = self.endpoint.connect(at(now), PEER, config, None);
                self.due = self.timeout();
                begun.map_err(CryptoError::of)
            }
            None => Ok(()),
        }
    }

    /// Takes a datagram of DTLS.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        datagram: &[u8],
    ) -> Result<Progress, DropReason> {
        self.admit(datagram)?;
        let Some((preferred, mut hello)) = self.preferred.take() else {
            return self.read(now, datagram);
        };
        match hello.push(datagram) {
            Seen::Part => {
                self.preferred = Some((preferred, hello));
                return Ok(Progress::Going);
            }
            Seen::Whole { names_aes_gcm: true } => {
                self.endpoint.set_server_config(Some(preferred));
            }
            Seen::Whole { names_aes_gcm: false } => {}
        }
        hello.take().iter().try_fold(Progress::Going, |_, held| self.read(now, held))
    }

    fn read(&mut self, now: Instant, datagram: &[u8]) -> Result<Progress, DropReason> {
        let read = self.endpoint.read(at(now), PEER, None, BytesMut::from(datagram));
        self.due = self.timeout();
        match read {
            Ok(events) => {
                let mut progress = Progress::Going;
                for event in events {
                    match event {
                        EndpointEvent::HandshakeComplete => progress = self.completed(),
                        EndpointEvent::PeerClosed => progress = Progress::Closed,
                        // Data channels are not negotiated: nobody waits for it.
                        _ => {}
                    }
                }
                Ok(progress)
            }
            Err(Error::ErrInvalidCertificate | Error::ErrAlertFatalOrClose) => Ok(Progress::Failed),
            Err(_) => Err(DropReason::MalformedDtls),
        }
    }

    /// The certificate once more: the handshake looks at it only where it is signed with.
    fn completed(&mut self) -> Progress {
        self.done = true;
        let provider = provider();
        let state = self.endpoint.get_connection_state(PEER);
        let shown = state.and_then(|state| state.peer_certificates.first());
        let shown = shown.zip(provider.ok()).and_then(|(der, p)| fingerprint(der, &*p).ok());
        match shown.is_some_and(|shown| constant_time_eq(&shown.0, &self.expected.0)) {
            true => Progress::Done,
            false => Progress::Failed,
        }
    }

    /// Counts what `rtc-dtls` would keep, and looks at what it would trust.
    fn admit(&mut self, datagram: &[u8]) -> Result<(), DropReason> {
        let mut rest = datagram;
        while let Some(header) = rest.first_chunk::<RECORD_HEADER>() {
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            let end = RECORD_HEADER + length;
            let body = rest.get(RECORD_HEADER..end).ok_or(DropReason::MalformedDtls)?;
            let epoch = u16::from_be_bytes([header[3], header[4]]);
            if epoch > 0 && !self.done {
                self.early_records += 1;
            }
            if header[0] == CONTENT_HANDSHAKE && epoch == 0 {
                self.records += 1;
                admit_fragments(body)?;
            }
            rest = &rest[end..];
        }
        if !rest.is_empty() {
            return Err(DropReason::MalformedDtls);
        }
        if self.records > RECORDS_MAX || self.early_records > EARLY_RECORDS_MAX {
            return Err(DropReason::Overflow);
        }
        Ok(())
    }

    pub(super) fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message)
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    fn timeout(&self) -> Option<Instant> {
        let due = self.endpoint.poll_timeout(&PEER)?;
        let nanos = due.saturating_duration_since(*ORIGIN).as_nanos();
        Some(Instant::from_nanos(nanos.try_into().unwrap_or(u64::MAX)))
    }

    /// Sends what was not answered again; whether there is still hope.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.due.is_none() {
            return true;
        }
        let handled = self.endpoint.handle_timeout(PEER, at(now));
        self.due = self.timeout();
        handled.is_ok()
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, now: Instant) {
        self.endpoint.stop(at(now), PEER);
        self.due = self.timeout();
    }

    /// What SRTP is keyed with (RFC 5764 section 4.2).
    pub(super) fn export(&self) -> Option<Exported> {
        let state = self.endpoint.get_connection_state(PEER)?;
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Profile::AeadAes128Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Profile::Aes128CmSha1,
            _ => return None,
        };
        let length = 2 * (Profile::KEY + profile.salt());
        let material = state.export_keying_material(EXPORTER, &[], length).ok()?;
        Some(Exported { profile, material, is_client: state.is_client() })
    }
}

/// Handshake messages of a record in the clear: whole headers, of a message that there can
/// be, that do not claim to lie beyond their message.
fn admit_fragments(mut body: &[u8]) -> Result<(), DropReason> {
    let three = |bytes: &[u8]| u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
    while !body.is_empty() {
        let header = body.first_chunk::<HANDSHAKE_HEADER>().ok_or(DropReason::MalformedDtls)?;
        let (length, offset) = (three(&header[1..4]), three(&header[6..9]));
        let fragment = three(&header[9..12]);
        let message = u16::from_be_bytes([header[4], header[5]]);
        let end = HANDSHAKE_HEADER + fragment as usize;
        if message >= MESSAGES_MAX || offset + fragment > length || length > 1 << 16 {
            return Err(DropReason::MalformedDtls);
        }
        body = body.get(end..).ok_or(DropReason::MalformedDtls)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_types, reason = "rtc-dtls wants one")]
fn at(now: Instant) -> std::time::Instant {
    *ORIGIN + now.elapsed()
}
