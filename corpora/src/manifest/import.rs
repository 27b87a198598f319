//! Takes a file of anybody into the corpora: a normalised copy, and an entry with its facts.
//!
//! Of a capture only the routes with RTP or RTCP are kept, at times from zero, and (unless asked
//! otherwise) at addresses that are reserved for documentation (RFC 5737, RFC 3849): who called
//! whom stays at home. Other files are copied as they are. Files appear whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Content, Entry, FlowEntry, Manifest, ManifestError};
use crate::arrival::ArrivalKind;
use crate::count::Counts;
use crate::digest::Sha256Digest;
use crate::format::{Warning, pcap, pcapng};
use crate::open::{OpenError, Opened, Options, open_bytes_with, read_file};
use crate::recording::Recording;
use crate::truth::Truth;

/// What only a person can say of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// See [`Entry::id`]; the file is named after it.
    pub id: String,
    /// See [`Entry::licence`].
    pub licence: String,
    /// See [`Entry::origin`].
    pub origin: String,
    /// See [`Entry::recipe`].
    pub recipe: String,
    /// See [`Entry::tags`].
    pub tags: Vec<String>,
    /// Keep the addresses of a capture.
    pub keep_addresses: bool,
    /// Write a capture as pcapng instead of pcap.
    pub pcapng: bool,
    /// What is known of its pictures, by SSRC.
    pub pictures: BTreeMap<u32, Pictures>,
}

/// What only whoever negotiated them knows of a stream of pictures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pictures {
    /// See [`FlowEntry::layer`].
    pub layer: Option<String>,
    /// See [`FlowEntry::content`].
    pub content: Option<Content>,
}

/// What was taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// As it now stands in the manifest.
    pub entry: Entry,
    /// The file.
    pub path: PathBuf,
    /// What was wrong with the original.
    pub warnings: Vec<Warning>,
}

/// Why a file was not taken in. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The manifest cannot be used, or not with this entry.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A capture without RTP.
    #[error(
        "{name} holds {datagrams} UDP datagrams and no RTP flow that can be told; \
         if it does hold RTP, say on which port"
    )]
    NoFlows {
        /// The file.
        name: String,
        /// How many datagrams it holds.
        datagrams: usize,
    },
    /// A flow whose payload type is a riddle.
    #[error(
        "{name}: payload type {payload_type} of SSRC {ssrc:#010x}: {reason}; \
         say what it is ({payload_type}=CODEC/CLOCK)"
    )]
    UnknownCodec {
        /// The file.
        name: String,
        /// The flow.
        ssrc: u32,
        /// What is not known.
        payload_type: u8,
        /// What was tried.
        reason: String,
    },
    /// A file of this name is there already.
    #[error("{path} exists already: choose another id")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Takes a file in: writes its copy below `recordings/` and its entry into the manifest.
pub fn import(
    source: &Path,
    manifest: &Path,
    about: &About,
    options: &Options,
) -> Result<Imported, ImportError> {
    let known = Manifest::read(manifest)?;
    let name = source.display().to_string();
    let original = read_file(source, options.file_bytes_max)?;
    let opened = open_bytes_with(&name, original.clone(), options)?;
    let warnings = opened.warnings().to_vec();
    let (bytes, extension) = copy_of(&name, &opened, original, about)?;
    let entry = entry_for(&name, about, &bytes, extension, options)?;

    let text = std::fs::read_to_string(manifest)
        .map_err(|source| ManifestError::Read { path: manifest.to_owned(), source })?;
    // Appended, so that comments and the order of the file stay.
    let text = format!("{}\n\n{}", text.trim_end(), entry.write());
    Manifest::parse(manifest, &text)?;

    let path = known.path_of(&entry);
    if path.exists() {
        return Err(ImportError::Exists { path });
    }
    write_whole(&path, &bytes)?;
    if let Err(error) = write_whole(manifest, text.as_bytes()) {
        // The manifest is as it was, so the recording must not stay behind unlisted.
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    Ok(Imported { entry, path, warnings })
}

fn copy_of(
    name: &str,
    opened: &Opened,
    original: Bytes,
    about: &About,
) -> Result<(Bytes, &'static str), ImportError> {
    Ok(match opened {
        Opened::Recording(recording) if recording.flows.is_empty() => {
            let datagrams = recording.arrivals.len();
            return Err(ImportError::NoFlows { name: name.to_owned(), datagrams });
        }
        Opened::Recording(recording) => {
            let refuse = |source| ImportError::Write { path: PathBuf::from(name), source };
            let keep = about.keep_addresses;
            match about.pcapng {
                true => (normalise_pcapng(recording, keep).map_err(refuse)?.into(), "pcapng"),
                false => (normalise(recording, keep).map_err(refuse)?.into(), "pcap"),
            }
        }
        Opened::AnnexB(_) => (original, "264"),
        Opened::Wav(_) => (original, "wav"),
        Opened::OggOpus(_) => (original, "ogg"),
    })
}

/// Opens the copy again, so that its facts are those of the file that is kept.
fn entry_for(
    name: &str,
    about: &About,
    bytes: &Bytes,
    extension: &str,
    options: &Options,
) -> Result<Entry, ImportError> {
    let opened = open_bytes_with(name, bytes.clone(), options)?;
    let counts = Counts::of(&opened);
    let mut flows = Vec::new();
    if let Opened::Recording(recording) = &opened {
        let mut listed = BTreeSet::new();
        for flow in &recording.flows {
            for payload in &flow.payloads {
                let (Some(codec), Some(clock_rate)) = (&payload.codec, payload.clock_rate) else {
                    return Err(ImportError::UnknownCodec {
                        name: name.to_owned(),
                        ssrc: flow.ssrc,
                        payload_type: payload.payload_type,
                        reason: payload.reason.clone(),
                    });
                };
                let payload_type = payload.payload_type;
                if listed.insert((flow.ssrc, payload_type)) {
                    let codec = codec.clone();
                    let pictures = about.pictures.get(&flow.ssrc).cloned().unwrap_or_default();
                    flows.push(FlowEntry {
                        ssrc: flow.ssrc,
                        payload_type,
                        codec,
                        clock_rate,
                        layer: pictures.layer,
                        content: pictures.content,
                        truth: None,
                    });
                }
            }
        }
    }
    let warnings = opened.warnings().len() as u64;
    Ok(Entry {
        id: about.id.clone(),
        file: format!("{}.{extension}", about.id),
        sha256: Sha256Digest::of(bytes),
        licence: about.licence.clone(),
        origin: about.origin.clone(),
        recipe: about.recipe.clone(),
        tags: about.tags.clone(),
        flows,
        truth: Truth {
            packets: counts.packets,
            lost: counts.lost,
            reordered: counts.reordered,
            duplicates: counts.duplicates,
            restarts: counts.restarts.filter(|restarts| *restarts > 0),
            rtcp: counts.rtcp,
            other: counts.other,
            duration_ms: counts.duration_ms,
            digits: counts.digits,
            frames: counts.frames.filter(|frames| *frames > 0),
            warnings: (warnings > 0).then_some(warnings),
            ..Truth::default()
        },
    })
}

/// The recording as a pcap file (nanoseconds, Ethernet), with what it needs and no more.
pub fn normalise(recording: &Recording, keep_addresses: bool) -> io::Result<Vec<u8>> {
    let mut writer = pcap::Writer::new(Vec::new(), pcap::Layout::default())?;
    for_each_kept(recording, keep_addresses, |at, [source, destination], payload, missing| {
        writer.write_datagram(at, source, destination, payload, missing)
    })?;
    writer.finish()
}

/// The same as a pcapng file.
pub fn normalise_pcapng(recording: &Recording, keep_addresses: bool) -> io::Result<Vec<u8>> {
    let mut writer = pcapng::Writer::new(Vec::new(), pcapng::Layout::default())?;
    for_each_kept(recording, keep_addresses, |at, [source, destination], payload, missing| {
        writer.write_datagram(at, source, destination, payload, missing, None)
    })?;
    writer.finish()
}

fn for_each_kept(
    recording: &Recording,
    keep_addresses: bool,
    mut write: impl FnMut(u64, [SocketAddr; 2], &[u8], u32) -> io::Result<()>,
) -> io::Result<()> {
    let kept: BTreeSet<_> = recording
        .arrivals
        .iter()
        .filter(|arrival| arrival.kind != ArrivalKind::Other)
        .map(|arrival| arrival.route)
        .collect();
    let mut addresses = Addresses { keep: keep_addresses, known: BTreeMap::new() };
    for arrival in recording.arrivals.iter().filter(|arrival| kept.contains(&arrival.route)) {
        let route = recording.route(arrival.route);
        let source = addresses.map(route.source);
        let destination = addresses.map(route.destination);
        let at = arrival.offset.as_nanos() as u64;
        let missing = u32::from(arrival.missing);
        write(at, [source, destination], &arrival.payload, missing)?;
    }
    Ok(())
}

/// Addresses in order of appearance, each with its own for documentation.
struct Addresses {
    keep: bool,
    known: BTreeMap<IpAddr, IpAddr>,
}

impl Addresses {
    fn map(&mut self, address: SocketAddr) -> SocketAddr {
        if self.keep {
            return address;
        }
        let n = self.known.len() as u32 + 1;
        let ip = *self.known.entry(address.ip()).or_insert_with(|| match address.ip() {
            IpAddr::V4(_) if n < 255 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, n as u8)),
            // More than 192.0.2.0/24 holds: 198.18.0.0/15 is for benchmarks (RFC 2544).
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(0xc612_0000 + (n & 0x1_ffff))),
            IpAddr::V6(_) => {
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, (n >> 16) as u16, n as u16))
            }
        });
        SocketAddr::new(ip, address.port())
    }
}

/// Writes a file beside its place and renames it: it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ImportError> {
    let refuse = |source| ImportError::Write { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(refuse)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".callrig-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Temporary files are for their owner only; a recording is for everybody.
        builder.permissions(std::fs::Permissions::from_mode(0o644));
    }
    let mut file = builder.tempfile_in(folder).map_err(refuse)?;
    file.write_all(bytes).map_err(refuse)?;
    file.as_file().sync_all().map_err(refuse)?;
    file.persist(path).map_err(|error| refuse(error.error))?;
    Ok(())
}
