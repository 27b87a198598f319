//! The datagrams of a trace as a capture that Wireshark opens: each as its receiver got
//! it, when its receiver got it. What never arrived is not in it, as it would not be in a
//! capture taken there; `trace.jsonl` has that.

use core::net::SocketAddr;
use std::io::{self, Write};

use callrig_corpora::format::pcap::{Layout, Writer};
use callrig_media::time::Instant;

use crate::link::Fate;
use crate::trace::{Trace, What};

/// Writes the capture; the world's clock began `epoch_nanos` after 1970.
///
/// # Errors
/// Those of the writer.
pub fn write<W: Write>(trace: &Trace, epoch_nanos: u64, to: W) -> io::Result<W> {
    let mut arrivals: Vec<(Instant, usize)> = Vec::new();
    for (index, fact) in trace.facts().iter().enumerate() {
        if let What::Crossed(crossed) = &fact.what {
            match crossed.fate {
                Fate::Delivered(at) => arrivals.push((at, index)),
                Fate::Duplicated(first, second) => {
                    arrivals.extend([(first, index), (second, index)]);
                }
                Fate::Dropped(_) => {}
            }
        }
    }
    arrivals.sort_unstable();
    let mut writer = Writer::new(to, Layout::default())?;
    for (at, index) in arrivals {
        if let What::Crossed(crossed) = &trace.facts()[index].what {
            let path = trace.path_of(crossed.path);
            let (source, destination): (SocketAddr, SocketAddr) = (path.source, path.destination);
            let at = epoch_nanos.saturating_add(at.as_nanos());
            writer.write_datagram(at, source, destination, &crossed.payload, 0)?;
        }
    }
    writer.finish()
}
