//! How datagrams leave a socket: a run of them to one address is one message, which the kernel
//! cuts up (GSO), and one system call takes many messages (`sendmmsg`). Nothing is copied on
//! the way to the kernel.

use std::io::{self, IoSlice};

use arrayvec::ArrayVec;
use callrig_media::datagram::Datagram;
use mio::net::UdpSocket;
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use super::{Counts, send_one};

/// The longest run, in bytes: what an IP packet can say.
const RUN_BYTES_MAX: usize = 60_000;
/// The most messages of one system call, and their datagrams.
const MESSAGES_MAX: usize = 64;
const DATAGRAMS_MAX: usize = 256;

/// What a socket can do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// The longest run, in datagrams; 1 where the kernel cuts nothing up.
    run_max: usize,
    /// The size of datagrams that the kernel cuts longer messages into; 0: none.
    segment: usize,
}

impl Leaving {
    pub(super) fn new(run_max: usize) -> Self {
        Self { run_max: run_max.clamp(1, DATAGRAMS_MAX), segment: 0 }
    }

    /// Sends datagrams that leave one socket, in order. What the kernel refuses is lost, and
    /// those behind it have their turn.
    pub(super) fn send(&mut self, socket: &UdpSocket, batch: &[Datagram], counts: &mut Counts) {
        let mut rest = batch;
        while !rest.is_empty() {
            let mut runs = ArrayVec::<usize, MESSAGES_MAX>::new();
            let segment = self.gather(rest, &mut runs);
            if self.cut_into(socket, segment).is_err() && self.run_max > 1 {
                // Not here: each datagram by itself from now on.
                self.run_max = 1;
                continue;
            }
            let (group, others) = rest.split_at(runs.iter().sum());
            rest = others;
            match group {
                [one] => send_one(socket, one, counts),
                group => self.send_group(socket, group, &runs, counts),
            }
        }
    }

    /// The lengths of the runs that leave together, and what the kernel has to cut them into.
    fn gather(&self, batch: &[Datagram], runs: &mut ArrayVec<usize, MESSAGES_MAX>) -> usize {
        let mut segment = self.segment;
        let mut rest = batch;
        while let Some(first) = rest.first().filter(|_| !runs.is_full()) {
            let length = run_length(rest, self.run_max);
            let size = first.payload.len();
            let wanted = match length {
                1 if size <= segment => segment,
                1 => 0,
                _ => size,
            };
            let room = DATAGRAMS_MAX - (batch.len() - rest.len());
            if length > room || wanted != segment && !runs.is_empty() {
                break;
            }
            segment = wanted;
            runs.push(length);
            rest = &rest[length..];
        }
        segment
    }

    fn cut_into(&mut self, socket: &UdpSocket, segment: usize) -> io::Result<()> {
        if segment != self.segment {
            let size = i32::try_from(segment).map_err(io::Error::other)?;
            nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::UdpGsoSegment, &size)?;
            self.segment = segment;
        }
        Ok(())
    }

    fn send_group(
        &mut self,
        socket: &UdpSocket,
        group: &[Datagram],
        runs: &[usize],
        counts: &mut Counts,
    ) {
        let slices: ArrayVec<IoSlice<'_>, DATAGRAMS_MAX> =
            group.iter().map(|datagram| IoSlice::new(&datagram.payload)).collect();
        let mut places = ArrayVec::<SocketAddrAny, MESSAGES_MAX>::new();
        let mut no_control = ArrayVec::<SendAncillaryBuffer<'_, '_, '_>, MESSAGES_MAX>::new();
        let starts = runs.iter().scan(0, |next, length| {
            let start = *next;
            *next += length;
            Some(start)
        });
        for start in starts.clone() {
            places.push(group[start].destination.into());
            no_control.push(SendAncillaryBuffer::default());
        }
        let mut messages: ArrayVec<MMsgHdr<'_>, MESSAGES_MAX> = starts
            .zip(runs)
            .zip(places.iter().zip(&mut no_control))
            .map(|((start, length), (place, control))| {
                MMsgHdr::new_with_addr(place, &slices[start..start + length], control)
            })
            .collect();
        let mut done = 0;
        while done < messages.len() {
            match sendmmsg(socket, &mut messages[done..], SendFlags::empty()) {
                Ok(sent) if sent > 0 => {
                    counts.sent += runs[done..done + sent].iter().sum::<usize>() as u64;
                    done += sent;
                }
                Err(Errno::INTR) => {}
                refused => {
                    let from: usize = runs[..done].iter().sum();
                    let run = &group[from..from + runs[done]];
                    done += 1;
                    // What a device that cuts nothing up says; it may mean the address as well.
                    if run.len() == 1 || !matches!(refused, Err(Errno::IO | Errno::INVAL)) {
                        counts.unsent += run.len() as u64;
                        continue;
                    }
                    let before = counts.sent;
                    run.iter().for_each(|datagram| send_one(socket, datagram, counts));
                    if counts.sent > before {
                        self.run_max = 1;
                    }
                }
            }
        }
    }
}

/// How many datagrams from here on leave at once: to one address, all of one size but the
/// last, which may be smaller.
fn run_length(batch: &[Datagram], run_max: usize) -> usize {
    let Some(first) = batch.first() else { return 0 };
    let size = first.payload.len();
    let mut bytes = size;
    let mut length = 1;
    while let Some(next) = batch.get(length).filter(|_| length < run_max && size > 0) {
        bytes += next.payload.len();
        if next.destination != first.destination
            || next.payload.len() > size
            || bytes > RUN_BYTES_MAX
        {
            break;
        }
        length += 1;
        if next.payload.len() < size {
            break;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, SocketAddr};

    use bytes::Bytes;

    use super::*;

    fn at(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    fn sized(length: usize, to: u16) -> Datagram {
        Datagram { source: at(1), destination: at(to), payload: Bytes::from(vec![7; length]) }
    }

    #[test]
    fn a_run_is_of_one_size_to_one_address_and_ends_with_a_smaller_one() {
        let batch = [
            sized(900, 2),
            sized(900, 2),
            sized(100, 2),
            sized(100, 2),
            sized(100, 3),
            sized(0, 3),
        ];
        let lengths = |most| {
            let (mut rest, mut found) = (&batch[..], Vec::new());
            while !rest.is_empty() {
                let length = run_length(rest, most);
                found.push(length);
                rest = &rest[length..];
            }
            found
        };
        assert_eq!(lengths(64), [3, 1, 2]);
        assert_eq!(lengths(2), [2, 2, 2]);
        assert_eq!(lengths(1), [1; 6]);
    }

    #[test]
    fn what_leaves_together_is_cut_into_one_size_or_is_no_larger() {
        let batch = [
            sized(900, 2),
            sized(900, 2),
            sized(80, 3),
            sized(900, 4),
            sized(901, 5),
            sized(500, 2),
            sized(500, 2),
        ];
        let gather = |leaving: Leaving, batch: &[Datagram]| {
            let mut runs = ArrayVec::new();
            let segment = leaving.gather(batch, &mut runs);
            (segment, runs.to_vec())
        };
        let leaving = Leaving::new(64);
        assert_eq!(gather(leaving, &batch), (900, vec![2, 1, 1]));
        let leaving = Leaving { segment: 900, ..leaving };
        assert_eq!(gather(leaving, &batch[4..]), (0, vec![1]));
        assert_eq!(gather(leaving, &batch[5..]), (500, vec![2]));
        assert_eq!(gather(Leaving::new(1), &batch), (0, vec![1; 7]));
        let many: Vec<_> = (0..100).map(|_| sized(10, 2)).collect();
        assert_eq!(gather(Leaving::new(64), &many), (10, vec![64, 36]));
        let many: Vec<_> = (0..100).map(|index| sized(10, 2 + index)).collect();
        assert_eq!(gather(Leaving::new(64), &many), (0, vec![1; MESSAGES_MAX]));
    }

    #[test]
    fn what_is_refused_takes_nothing_else_with_it() {
        let socket = UdpSocket::bind(at(0)).expect("a port");
        let mut leaving = Leaving::new(64);
        let peer = std::net::UdpSocket::bind(at(0)).expect("a port");
        let there = peer.local_addr().expect("it has one").port();
        // To port 0 nothing can be sent.
        let mut batch = Vec::new();
        for to in [there, 0, there, 0] {
            batch.extend([sized(300, to), sized(300, to), sized(20, to)]);
        }
        batch.push(sized(1_000, 0));
        batch.push(sized(1_000, there));
        let mut counts = Counts::default();
        leaving.send(&socket, &batch, &mut counts);
        assert_eq!(counts, Counts { sent: 7, unsent: 7, ..Counts::default() });
        assert_eq!(leaving.run_max, 64, "the address was to blame");
        let mut room = [0; 2_048];
        let mut came = Vec::new();
        for _ in 0..7 {
            came.push(peer.recv(&mut room).expect("it comes"));
        }
        assert_eq!(came, [300, 300, 20, 300, 300, 20, 1_000]);
    }
}
