//! Recordings that this project did not make, where they are present: nobody tuned them.

use std::path::PathBuf;

use callrig_corpora::{Codec, Confidence, Opened, Recording, open_path};

/// The outside corpora, or `None` with a message.
pub(crate) fn outside(folder: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("CALLRIG_OUTSIDE_CORPORA") {
        Some(root) => PathBuf::from(root),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
    };
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: there is no {} (set CALLRIG_OUTSIDE_CORPORA)", path.display());
    None
}

fn recording(file: &str) -> Option<Recording> {
    match open_path(&outside("rtp")?.join(file)).expect(file) {
        Opened::Recording(recording) => Some(recording),
        other => panic!("{file} was taken for {}", other.format()),
    }
}

#[test]
fn a_call_in_g711_is_found_with_all_its_packets() {
    let Some(recording) = recording("g711a.pcap") else { return };
    assert_eq!(recording.warnings, []);
    let [flow] = &recording.flows[..] else { panic!("{:?}", recording.flows) };
    assert_eq!(
        (flow.source.to_string(), flow.destination.port()),
        ("10.1.3.143:5000".into(), 2006)
    );
    assert_eq!(flow.confidence, Confidence::High, "{}", flow.reason);
    let payload = flow.main_payload().expect("there is one");
    assert_eq!((payload.payload_type, &payload.codec), (8, &Some(Codec::Pcma)));
    assert_eq!(payload.clock_rate, Some(8_000));
    assert_eq!(flow.packets as usize, recording.arrivals.len());
    assert_eq!(flow.packets, 236);
}

#[test]
fn digits_are_recognised_as_telephone_events() {
    for digit in ["0", "1", "2", "3", "4", "5", "star"] {
        let Some(recording) = recording(&format!("dtmf_2833_{digit}.pcap")) else { return };
        let [flow] = &recording.flows[..] else { panic!("{:?}", recording.flows) };
        let payload = flow.main_payload().expect("there is one");
        assert_eq!(payload.codec, Some(Codec::TelephoneEvent), "{}", payload.reason);
        // Its durations grow by 320 every 20 ms.
        assert_eq!(payload.clock_rate, Some(16_000));
        assert_eq!(flow.packets, 10);
    }
}

#[test]
fn an_rtpdump_gives_its_rtp_and_its_rtcp() {
    let Some(recording) = recording("bark.rtp") else { return };
    assert_eq!(recording.warnings, []);
    let [flow] = &recording.flows[..] else { panic!("{:?}", recording.flows) };
    assert_eq!(flow.main_payload().expect("there is one").codec, Some(Codec::Pcmu));
    let rtcp = recording.count_of(callrig_corpora::ArrivalKind::Rtcp);
    println!("{} RTP, {rtcp} RTCP: {flow:?}", flow.packets);
    assert!(rtcp > 0);
}

#[test]
fn opus_in_ogg_gives_its_packets_and_playing_time() {
    let Some(folder) = outside("rtp") else { return };
    let opened = open_path(&folder.join("rtc_output.ogg")).expect("it opens");
    let Opened::OggOpus(stream) = opened else { panic!("taken for {}", opened.format()) };
    assert_eq!(stream.warnings, []);
    assert_eq!((stream.head.channels, stream.head.pre_skip), (2, 312));
    assert!(stream.tags.comments.iter().any(|comment| comment.contains("libopus")));
    println!("{} packets, {} ms", stream.packets.len(), stream.duration_ms());
    let sum: u64 = stream.packets.iter().map(|packet| u64::from(packet.samples)).sum();
    assert!(sum - 312 >= stream.samples() && sum - 312 - stream.samples() < 960 * 3);
}

/// As ffprobe 5.1 counts them (`-count_packets`).
const PICTURES: [(&str, usize); 24] = [
    ("BA1_Sony_D.jsv", 17),
    ("BAMQ1_JVC_C.264", 30),
    ("BANM_MW_D.264", 100),
    ("BA_MW_D.264", 100),
    ("BA_MW_D_IDR_LOST.264", 97),
    ("BA_MW_D_P_LOST.264", 99),
    ("CI_MW_D.264", 100),
    ("Cisco_Men_whisper_640x320_CABAC_Bframe_9.264", 9),
    ("LS_SVA_D.264", 1700),
    ("MIDR_MW_D.264", 100),
    ("MPS_MW_A.264", 150),
    ("MR1_BT_A.h264", 62),
    ("NRF_MW_E.264", 100),
    ("SVA_BA1_B.264", 17),
    ("SVA_BA2_D.264", 17),
    ("SVA_CL1_E.264", 50),
    ("SVA_FM1_E.264", 17),
    ("SVA_NL1_B.264", 17),
    ("SarVui.264", 17),
    ("Static.264", 10),
    ("Zhling_1280x720.264", 19),
    ("rtc_output.264", 300),
    ("test_cif_P_CABAC_slice.264", 300),
    ("test_vd_1d.264", 9),
];

#[test]
fn every_conformance_stream_is_split_into_its_access_units() {
    let Some(folder) = outside("h264") else { return };
    let mut streams = 0;
    for entry in std::fs::read_dir(folder).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path
            .extension()
            .is_none_or(|extension| !["264", "h264", "jsv"].iter().any(|known| extension == *known))
        {
            continue;
        }
        let opened = open_path(&path).expect("it opens");
        let Opened::AnnexB(stream) = opened else { panic!("{path:?}: {}", opened.format()) };
        let access_units = stream.access_units();
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        if let Some((_, pictures)) = PICTURES.iter().find(|(known, _)| *known == name) {
            let found = access_units.iter().filter(|unit| unit.picture).count();
            assert_eq!(found, *pictures, "{name}");
        }
        let held: usize = access_units.iter().map(|unit| unit.units.len()).sum();
        assert_eq!(held, stream.units().len());
        streams += 1;
    }
    assert!(streams > 20, "only {streams} streams");
}
