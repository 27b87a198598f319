//! Files of anybody are taken into a manifest whole, or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use callrig_corpora::format::{pcap, wav};
use callrig_corpora::manifest::{About, ImportError, import};
use callrig_corpora::{Codec, Manifest, Opened, Options, open_path};

struct Corpora {
    folder: tempfile::TempDir,
}

impl Corpora {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "# a comment that stays\nschema_version = 1\n";
        fs::write(folder.path().join("manifest.toml"), text).expect("it can be written");
        Self { folder }
    }

    fn manifest(&self) -> PathBuf {
        self.folder.path().join("manifest.toml")
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).expect("it can be written");
        path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .expect("it can be listed")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn about(id: &str) -> About {
    About {
        id: id.to_owned(),
        licence: "MIT OR Apache-2.0".to_owned(),
        origin: "a test".to_owned(),
        recipe: "none".to_owned(),
        tags: vec!["test".to_owned()],
        keep_addresses: false,
        pcapng: false,
        pictures: BTreeMap::new(),
    }
}

/// Ten packets of G.711 with one lost, and a datagram of something private.
fn call() -> Vec<u8> {
    let address = |host, port| SocketAddr::from(([10, 1, 2, host], port));
    let mut writer = pcap::Writer::new(Vec::new(), pcap::Layout::default()).expect("memory");
    for n in (0..11_u8).filter(|n| *n != 5) {
        let at = 1_700_000_000_000_000_000 + u64::from(n) * 20_000_000;
        let mut packet = vec![0x80, 0, 0, n, 0, 0, 0, n, 1, 2, 3, 4];
        packet.extend([0xff; 160]);
        writer.write_datagram(at, address(3, 4_000), address(4, 5_000), &packet, 0).expect("fits");
        writer.write_datagram(at, address(3, 53), address(9, 53), b"secret", 0).expect("it fits");
    }
    writer.finish().expect("memory")
}

#[test]
fn a_capture_is_taken_in_without_its_addresses_and_verifies() {
    let corpora = Corpora::new();
    let source = corpora.file("call.pcap", &call());
    let imported = import(&source, &corpora.manifest(), &about("calls/one"), &Options::default())
        .expect("it is taken in");
    assert_eq!(imported.entry.file, "calls/one.pcap");
    assert_eq!(imported.entry.flows[0].codec, Codec::Pcmu);
    assert_eq!((imported.entry.truth.packets, imported.entry.truth.lost), (Some(10), Some(1)));
    assert_eq!(
        (imported.entry.truth.other, imported.entry.truth.duration_ms),
        (Some(0), Some(200))
    );
    let Opened::Recording(recording) = open_path(&imported.path).expect("it opens") else {
        panic!("a capture")
    };
    assert_eq!(recording.start, 0);
    assert_eq!(recording.flows[0].source.to_string(), "192.0.2.1:4000");
    assert_eq!(recording.flows[0].destination.to_string(), "192.0.2.2:5000");
    let text = fs::read_to_string(corpora.manifest()).expect("it can be read");
    assert!(text.starts_with("# a comment that stays\n"), "{text}");
    assert_eq!(Manifest::read(&corpora.manifest()).expect("valid").verify(), []);
}

#[test]
fn a_second_import_of_the_same_id_changes_nothing() {
    let corpora = Corpora::new();
    let source = corpora.file("call.pcap", &call());
    let manifest = corpora.manifest();
    import(&source, &manifest, &about("one"), &Options::default()).expect("the first");
    let before = fs::read(&manifest).expect("it can be read");
    let again = import(&source, &manifest, &about("one"), &Options::default());
    assert!(matches!(again, Err(ImportError::Manifest(_))), "{again:?}");
    assert_eq!(fs::read(&manifest).expect("it can be read"), before);
    // A file that is there although nothing lists it is not overwritten either.
    corpora.file("recordings/two.pcap", b"mine");
    let taken = import(&source, &manifest, &about("two"), &Options::default());
    assert!(matches!(taken, Err(ImportError::Exists { .. })), "{taken:?}");
    assert_eq!(
        fs::read(corpora.folder.path().join("recordings/two.pcap")).expect("there"),
        b"mine"
    );
    assert_eq!(corpora.names(), ["call.pcap", "manifest.toml", "recordings"]);
}

#[test]
fn sound_is_copied_as_it_is() {
    let corpora = Corpora::new();
    let mut file = std::io::Cursor::new(Vec::new());
    wav::write_pcm(&mut file, 8_000, 1, (0..8_000).map(|n| (n % 100) as i16)).expect("memory");
    let source = corpora.file("sound.bin", file.get_ref());
    let imported = import(&source, &corpora.manifest(), &about("sound"), &Options::default())
        .expect("it is taken in");
    assert_eq!(imported.entry.file, "sound.wav");
    assert_eq!(fs::read(&imported.path).expect("there"), file.into_inner());
    assert_eq!(imported.entry.truth.duration_ms, Some(1_000));
    assert_eq!(Manifest::read(&corpora.manifest()).expect("valid").verify(), []);
}

#[test]
fn what_is_no_call_is_refused_and_leaves_nothing_behind() {
    let corpora = Corpora::new();
    let manifest = corpora.manifest();
    let refuse = |name: &str, bytes: &[u8]| {
        let source = corpora.file(name, bytes);
        let refused = import(&source, &manifest, &about("x"), &Options::default());
        fs::remove_file(source).expect("it was there");
        refused.expect_err("no call").to_string()
    };
    assert!(refuse("text", b"hello").contains("no recording"));
    let mut writer = pcap::Writer::new(Vec::new(), pcap::Layout::default()).expect("memory");
    let address = SocketAddr::from(([10, 0, 0, 1], 53));
    writer.write_datagram(0, address, address, b"query", 0).expect("it fits");
    let message = refuse("dns.pcap", &writer.finish().expect("memory"));
    assert!(message.contains("1 UDP datagrams") && message.contains("which port"), "{message}");
    let folder = import(corpora.folder.path(), &manifest, &about("x"), &Options::default());
    assert!(folder.expect_err("a folder").to_string().contains("no regular file"));
    assert_eq!(corpora.names(), ["manifest.toml"]);
}

#[test]
fn verification_says_precisely_what_is_not_as_it_should_be() {
    let corpora = Corpora::new();
    let source = corpora.file("call.pcap", &call());
    let manifest = corpora.manifest();
    import(&source, &manifest, &about("one"), &Options::default()).expect("it is taken in");
    let text = fs::read_to_string(&manifest).expect("it can be read");
    let facts = |from: &str, to: &str| {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        let manifest = Manifest::parse(&manifest, &changed).expect("valid");
        manifest.verify().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(facts("lost = 1", "lost = 2"), ["one: lost: expected 2, found 1"]);
    assert_eq!(facts("duration_ms = 200", "duration_ms = 190").len(), 1);
    assert!(facts("\"pcmu\"", "\"pcma\"")[0].contains("codec: expected pcma, found pcmu"));
    assert_eq!(facts("ssrc = 16909060", "ssrc = 16909061").len(), 2, "one missing, one unlisted");
    assert!(facts("other = 0", "warnings = 1\nother = 0")[0].contains("warnings: expected 1"));
    assert!(facts("other = 0", "refused = \"x\"")[0].contains("it opens as pcap"));
    corpora.file("recordings/stray.pcap", b"");
    let listed = facts("lost = 1", "lost = 2");
    assert!(listed[1].starts_with("stray.pcap: listed"), "{listed:?}");
    fs::write(corpora.folder.path().join("recordings/one.pcap"), call()).expect("writable");
    let changed = facts("lost = 1", "lost = 1 ");
    assert!(changed[0].contains("sha256"), "{changed:?}");
}
