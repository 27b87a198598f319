//! Certificates: somebody's own, or an authority and a certificate made here, so that a
//! bot which insists on the real host names can be brought over by DNS and one entry in
//! its trust store.

use core::net::IpAddr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use thiserror::Error;

use super::settings::Tls;

/// The names under which bots know the real platform.
pub const REAL_NAMES: [&str; 8] = [
    "graph.microsoft.com",
    "login.microsoftonline.com",
    "login.microsoft.com",
    "login.windows.net",
    "sts.windows.net",
    "api.aps.skype.com",
    "login.botframework.com",
    "api.botframework.com",
];

/// How long what is made here is valid, from the day it is made. Some clients refuse
/// server certificates of more than 398 days.
const AUTHORITY_YEARS: i64 = 10;
const CERTIFICATE_DAYS: i64 = 396;

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// Read, or write.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing could be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// Certificate and key do not fit, or the like.
    #[error("the certificate cannot be used: {0}")]
    Use(#[from] rustls::Error),
}

/// What the server shows, and what has to be trusted for it.
#[derive(Debug)]
pub struct Identity {
    /// For connections.
    pub server: Arc<ServerConfig>,
    /// The authority's certificate in PEM, if it is ours.
    pub authority: Option<String>,
    /// The same in DER.
    pub authority_der: Option<Vec<u8>>,
}

impl Identity {
    /// Reads the certificate, or makes one.
    ///
    /// # Errors
    /// Files that cannot be read, or are not what they should be.
    pub fn new(settings: &Tls, addresses: &[IpAddr]) -> Result<Self, TlsError> {
        match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let read = PrivateKeyDer::from_pem_file(key);
                let key = read.map_err(|error| TlsError::Content {
                    path: key.clone(),
                    reason: format!("no private key in PEM: {error}"),
                })?;
                let server = configure(chain, key)?;
                Ok(Self { server, authority: None, authority_der: None })
            }
            _ => Self::make(settings, addresses),
        }
    }

    fn make(settings: &Tls, addresses: &[IpAddr]) -> Result<Self, TlsError> {
        let authority = match &settings.authority {
            Some(path) => Authority::kept(path)?,
            None => Authority::make()?,
        };
        let key = KeyPair::generate()?;
        let params = leaf(settings, addresses)?;
        let certificate = params.signed_by(&key, &authority.issuer())?;
        let private = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| rustls::Error::General(error.to_owned()))?;
        let der = authority.der.clone();
        let chain = vec![certificate.der().clone(), CertificateDer::from(der.clone())];
        if let (Err(reason), Some(path)) = (verify(&chain), &settings.authority) {
            let reason = format!("no authority that was made here: {reason}");
            return Err(TlsError::Content { path: path.clone(), reason });
        }
        let server = configure(chain, private)?;
        Ok(Self { server, authority: Some(authority.certificate), authority_der: Some(der) })
    }
}

struct Authority {
    certificate: String,
    der: Vec<u8>,
    key: KeyPair,
}

impl Authority {
    fn make() -> Result<Self, TlsError> {
        let key = KeyPair::generate()?;
        let certificate = Self::params().self_signed(&key)?;
        Ok(Self { certificate: certificate.pem(), der: certificate.der().to_vec(), key })
    }

    fn params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = name("callrig test authority");
        (params.not_before, params.not_after) = validity(AUTHORITY_YEARS * 365);
        params
    }

    /// What signs with it: its name is always the same.
    fn issuer(&self) -> Issuer<'static, &KeyPair> {
        Issuer::new(Self::params(), &self.key)
    }

    /// The authority in a file, made and written if there is none. The file holds the
    /// certificate and its key.
    fn kept(path: &Path) -> Result<Self, TlsError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = Self::make()?;
                let text = format!("{}{}", made.certificate, made.key.serialize_pem());
                write_private(path, &text)?;
                return Ok(made);
            }
            Err(source) => {
                return Err(TlsError::File { what: "read", path: path.to_owned(), source });
            }
        };
        let refuse = |reason: String| TlsError::Content { path: path.to_owned(), reason };
        let der = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|error| refuse(format!("no certificate in PEM: {error}")))?;
        let start = text.find("-----BEGIN CERTIFICATE-----").unwrap_or(0);
        let end = text.find("-----END CERTIFICATE-----").map_or(text.len(), |at| at + 26);
        let certificate = text.get(start..end.min(text.len())).unwrap_or_default().to_owned();
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|error| refuse(format!("no private key in PEM: {error}")))?;
        let key = KeyPair::try_from(&key)
            .map_err(|error| refuse(format!("no key that can sign: {error}")))?;
        Ok(Self { certificate, der: der.to_vec(), key })
    }
}

fn leaf(settings: &Tls, addresses: &[IpAddr]) -> Result<CertificateParams, TlsError> {
    let mut names: Vec<String> = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    names.push("::1".to_owned());
    names.extend(addresses.iter().filter(|ip| !ip.is_unspecified()).map(ToString::to_string));
    names.extend(REAL_NAMES.iter().map(ToString::to_string));
    names.extend(settings.names.iter().cloned());
    names.sort();
    names.dedup();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = name("callrig");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = validity(CERTIFICATE_DAYS);
    Ok(params)
}

type Moment = time::OffsetDateTime;

/// From yesterday, since clocks differ, for so many days.
fn validity(days: i64) -> (Moment, Moment) {
    let now = Moment::now_utc();
    (now - time::Duration::days(1), now + time::Duration::days(days))
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = |reason| TlsError::Content { path: path.to_owned(), reason };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| refuse(format!("no certificate in PEM: {error}")))?
        .collect();
    let chain = chain.map_err(|error| refuse(format!("no certificate in PEM: {error}")))?;
    if chain.is_empty() {
        return Err(refuse("no certificate in PEM".to_owned()));
    }
    Ok(chain)
}

/// The certificates of a file, in DER.
///
/// # Errors
/// There are none.
pub fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, TlsError> {
    Ok(certificates(path)?.iter().map(|der| der.to_vec()).collect())
}

fn configure(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Whether the second certificate of a chain vouches for the first.
fn verify(chain: &[CertificateDer<'static>]) -> Result<(), String> {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    let [leaf, authority] = chain else { return Err("two certificates were expected".to_owned()) };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.clone()).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| error.to_string())?;
    let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
    verifier
        .verify_server_cert(leaf, &[], &name, &[], UnixTime::now())
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// Writes a file that only its owner can read.
fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    use std::io::Write as _;
    let refuse = |source| TlsError::File { what: "write", path: path.to_owned(), source };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(refuse)
}

/// Writes the authority's certificate for bots to trust.
///
/// # Errors
/// The file cannot be written.
pub fn write_authority(path: &Path, pem: &str) -> Result<(), TlsError> {
    std::fs::write(path, pem).map_err(|source| TlsError::File {
        what: "write",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_is_kept_is_the_same_the_next_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("authority.pem");
        let settings = Tls { authority: Some(path), ..Tls::default() };
        let first = Identity::new(&settings, &[]).expect("it is made");
        let second = Identity::new(&settings, &[]).expect("it is read");
        assert_eq!(first.authority_der, second.authority_der);
        let (one, two) = (first.authority.expect("ours"), second.authority.expect("ours"));
        assert!(!two.contains("PRIVATE"));
        assert_eq!(one.trim(), two.trim());
    }

    #[test]
    fn an_authority_of_somebody_else_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("authority.pem");
        let key = KeyPair::generate().expect("a key");
        let mut params = Authority::params();
        params.distinguished_name = name("else");
        let other = params.self_signed(&key).expect("a certificate");
        std::fs::write(&path, format!("{}{}", other.pem(), key.serialize_pem())).expect("written");
        let settings = Tls { authority: Some(path), ..Tls::default() };
        let error = Identity::new(&settings, &[]).expect_err("not ours").to_string();
        assert!(error.contains("no authority that was made here"), "{error}");
    }

    #[test]
    fn files_that_are_no_certificates_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.pem");
        std::fs::write(&path, "nothing").expect("it can be written");
        let settings = Tls { certificate: Some(path.clone()), key: Some(path), ..Tls::default() };
        let error = Identity::new(&settings, &[]).expect_err("it is none").to_string();
        assert!(error.contains("x.pem: no certificate in PEM"), "{error}");
    }
}
