//! RTCP (RFC 3550 section 6): compound packets, parsed and written; [`report`] has sender
//! and receiver reports, SDES and BYE, [`feedback`] has NACK, PLI, FIR (RFC 4585,
//! RFC 5104) and transport-wide congestion control (draft-holmer-rmcat-transport-wide-cc).
//! [`source`] measures reception, [`interval`] says when to report. Compounds are checked
//! as RFC 3550 appendix A.2 asks; reduced-size ones (RFC 5506) on request.

pub mod feedback;
pub mod interval;
pub mod report;
pub mod source;

use bytes::{BufMut, Bytes, BytesMut};

pub use feedback::{
    FullIntraRequest, Nack, NackPair, PictureLoss, ReceiverEstimate, TransportFeedback,
};
pub use report::{
    Application, Bye, ReceiverReport, ReportBlock, SenderReport, SourceDescription, View,
};

/// Packet types (IANA).
pub(crate) mod packet_type {
    pub(crate) const SENDER_REPORT: u8 = 200;
    pub(crate) const RECEIVER_REPORT: u8 = 201;
    pub(crate) const SOURCE_DESCRIPTION: u8 = 202;
    pub(crate) const BYE: u8 = 203;
    pub(crate) const APPLICATION: u8 = 204;
    pub(crate) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(crate) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// What its sender sends, and receives (type 200).
    SenderReport(SenderReport),
    /// What its sender receives (type 201).
    ReceiverReport(ReceiverReport),
    /// Who its sender is (type 202).
    SourceDescription(SourceDescription),
    /// Who leaves (type 203).
    Bye(Bye),
    /// What an application says to another (type 204).
    Application(Application),
    /// Packets to send again (type 205, format 1).
    Nack(Nack),
    /// When packets arrived (type 205, format 15).
    TransportFeedback(TransportFeedback),
    /// A picture was lost (type 206, format 1).
    PictureLoss(PictureLoss),
    /// A key frame is wanted (type 206, format 4).
    FullIntraRequest(FullIntraRequest),
    /// What the path to its sender carries (type 206, format 15, "REMB").
    ReceiverEstimate(ReceiverEstimate),
    /// Something else, kept as it came.
    Other {
        /// Its type.
        packet_type: u8,
        /// The five bits of its first byte: a count, a subtype or a format.
        count: u8,
        /// What follows the first word, without padding; whole words.
        body: Bytes,
    },
}

impl Packet {
    /// Its abbreviation: that of the RFC that defines it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SenderReport(_) => "SR",
            Self::ReceiverReport(_) => "RR",
            Self::SourceDescription(_) => "SDES",
            Self::Bye(_) => "BYE",
            Self::Application(_) => "APP",
            Self::Nack(_) => "NACK",
            Self::TransportFeedback(_) => "TWCC",
            Self::PictureLoss(_) => "PLI",
            Self::FullIntraRequest(_) => "FIR",
            Self::ReceiverEstimate(_) => "REMB",
            Self::Other { .. } => "other",
        }
    }
}

/// What a compound must begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// A report (RFC 3550 section 6.1).
    #[default]
    Compound,
    /// Anything (RFC 5506).
    ReducedSize,
}

/// The parts of one packet, before its type is looked at.
struct Framed {
    packet_type: u8,
    count: u8,
    body: Bytes,
}

/// Takes a datagram apart into its packets.
///
/// # Errors
/// The first packet that breaks a rule, and which one. Nothing is taken from a compound
/// of which a part is invalid.
pub fn parse(datagram: &Bytes, rules: Rules) -> Result<Vec<Packet>, ParseError> {
    let mut packets = Vec::new();
    let mut at = 0;
    while at < datagram.len() {
        let (framed, end) = frame(datagram, at)?;
        let first = at == 0;
        let report =
            matches!(framed.packet_type, packet_type::SENDER_REPORT | packet_type::RECEIVER_REPORT);
        if first && rules == Rules::Compound && !report {
            return Err(ParseError::NotAReport { packet_type: framed.packet_type });
        }
        packets.push(Packet::parse(&framed).map_err(|problem| ParseError::Body {
            packet_type: framed.packet_type,
            offset: at,
            problem,
        })?);
        at = end;
    }
    if packets.is_empty() { Err(ParseError::Empty) } else { Ok(packets) }
}

/// Appends the packets as one datagram.
pub fn write(packets: &[Packet], out: &mut BytesMut) {
    for packet in packets {
        packet.write(out);
    }
}

fn frame(datagram: &Bytes, at: usize) -> Result<(Framed, usize), ParseError> {
    let rest = &datagram[at..];
    let Some(head) = rest.first_chunk::<4>() else {
        return Err(ParseError::TooShort { offset: at, length: rest.len() });
    };
    let version = head[0] >> 6;
    if version != 2 {
        return Err(ParseError::Version { offset: at, version });
    }
    let length = 4 * (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1);
    if length > rest.len() {
        return Err(ParseError::Length { offset: at, claimed: length, length: rest.len() });
    }
    let mut end = at + length;
    if head[0] & 0x20 != 0 {
        // Only the last packet of a compound may be padded (section 6.4.1), by whole words; but
        // libwebrtc and others fill the last word of transport feedback so, whose times are bytes.
        let padding = usize::from(datagram[end - 1]);
        let last = end == datagram.len();
        let fills = head[1] == packet_type::TRANSPORT_FEEDBACK && last;
        let whole = padding.is_multiple_of(4) || fills && padding < 4;
        if !last || padding == 0 || !whole || padding > length - 4 {
            return Err(ParseError::Padding { offset: at, padding, last });
        }
        end -= padding;
    }
    let framed =
        Framed { packet_type: head[1], count: head[0] & 0x1f, body: datagram.slice(at + 4..end) };
    Ok((framed, at + length))
}

impl Packet {
    fn parse(framed: &Framed) -> Result<Self, BodyError> {
        let Framed { packet_type, count, body } = framed;
        let count = *count;
        Ok(match (*packet_type, count) {
            (packet_type::SENDER_REPORT, _) => {
                Self::SenderReport(SenderReport::parse(count, body)?)
            }
            (packet_type::RECEIVER_REPORT, _) => {
                Self::ReceiverReport(ReceiverReport::parse(count, body)?)
            }
            (packet_type::SOURCE_DESCRIPTION, _) => {
                Self::SourceDescription(SourceDescription::parse(count, body)?)
            }
            (packet_type::BYE, _) => Self::Bye(Bye::parse(count, body)?),
            (packet_type::APPLICATION, _) => Self::Application(Application::parse(count, body)?),
            (packet_type::TRANSPORT_FEEDBACK, feedback::NACK) => Self::Nack(Nack::parse(body)?),
            (packet_type::TRANSPORT_FEEDBACK, feedback::TRANSPORT_CC) => {
                Self::TransportFeedback(TransportFeedback::parse(body)?)
            }
            (packet_type::PAYLOAD_FEEDBACK, feedback::PLI) => {
                Self::PictureLoss(PictureLoss::parse(body)?)
            }
            (packet_type::PAYLOAD_FEEDBACK, feedback::FIR) => {
                Self::FullIntraRequest(FullIntraRequest::parse(body)?)
            }
            (packet_type::PAYLOAD_FEEDBACK, feedback::APPLICATION)
                if ReceiverEstimate::is_one(body) =>
            {
                Self::ReceiverEstimate(ReceiverEstimate::parse(body)?)
            }
            (packet_type, count) => Self::Other { packet_type, count, body: body.clone() },
        })
    }

    /// Appends the packet. Lists longer than the format can count are cut off at what it
    /// can.
    pub fn write(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32(0);
        let (packet_type, count) = match self {
            Self::SenderReport(report) => (packet_type::SENDER_REPORT, report.write(out)),
            Self::ReceiverReport(report) => (packet_type::RECEIVER_REPORT, report.write(out)),
            Self::SourceDescription(sdes) => (packet_type::SOURCE_DESCRIPTION, sdes.write(out)),
            Self::Bye(bye) => (packet_type::BYE, bye.write(out)),
            Self::Application(application) => (packet_type::APPLICATION, application.write(out)),
            Self::Nack(nack) => {
                nack.write(out);
                (packet_type::TRANSPORT_FEEDBACK, feedback::NACK)
            }
            Self::TransportFeedback(transport) => {
                transport.write(out);
                (packet_type::TRANSPORT_FEEDBACK, feedback::TRANSPORT_CC)
            }
            Self::PictureLoss(pli) => {
                pli.write(out);
                (packet_type::PAYLOAD_FEEDBACK, feedback::PLI)
            }
            Self::FullIntraRequest(fir) => {
                fir.write(out);
                (packet_type::PAYLOAD_FEEDBACK, feedback::FIR)
            }
            Self::ReceiverEstimate(estimate) => {
                estimate.write(out);
                (packet_type::PAYLOAD_FEEDBACK, feedback::APPLICATION)
            }
            Self::Other { packet_type, count, body } => {
                out.put_slice(body);
                (*packet_type, *count)
            }
        };
        while !(out.len() - start).is_multiple_of(4) {
            out.put_u8(0);
        }
        let words = ((out.len() - start) / 4 - 1) as u16;
        out[start] = 0x80 | count & 0x1f;
        out[start + 1] = packet_type;
        out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }
}

/// Takes fixed-size numbers from the front of a body.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], BodyError> {
        let Some((head, rest)) = self.0.split_first_chunk::<N>() else {
            return Err(BodyError::Truncated { missing: N - self.0.len() });
        };
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, BodyError> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, BodyError> {
        self.take().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, BodyError> {
        self.take().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, BodyError> {
        self.take().map(u64::from_be_bytes)
    }
}

/// Why a datagram is not RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No packet at all.
    #[error("an empty datagram")]
    Empty,
    /// Less than a header.
    #[error("byte {offset}: {length} bytes are too few for an RTCP header")]
    TooShort {
        /// Where the packet begins.
        offset: usize,
        /// What is left there.
        length: usize,
    },
    /// Not version 2.
    #[error("byte {offset}: RTCP version {version} instead of 2")]
    Version {
        /// Where the packet begins.
        offset: usize,
        /// As it stands in the header.
        version: u8,
    },
    /// The packet claims more than there is.
    #[error("byte {offset}: a packet of {claimed} bytes in {length}")]
    Length {
        /// Where the packet begins.
        offset: usize,
        /// Its length as it says.
        claimed: usize,
        /// What is left there.
        length: usize,
    },
    /// Padding that is not allowed there, or of a length that cannot be.
    #[error("byte {offset}: {padding} bytes of padding (last packet: {last})")]
    Padding {
        /// Where the packet begins.
        offset: usize,
        /// As it stands in the last byte.
        padding: usize,
        /// Whether the packet is the last one.
        last: bool,
    },
    /// A compound begins with a report.
    #[error("the first packet has type {packet_type}, and is no report")]
    NotAReport {
        /// Its type.
        packet_type: u8,
    },
    /// What a packet of this type holds makes no sense.
    #[error("byte {offset}: packet of type {packet_type}: {problem}")]
    Body {
        /// Its type.
        packet_type: u8,
        /// Where the packet begins.
        offset: usize,
        /// What is wrong.
        problem: BodyError,
    },
}

/// What is wrong inside a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It ends too early.
    #[error("{missing} bytes are missing")]
    Truncated {
        /// How many, to the next field.
        missing: usize,
    },
    /// It goes on when everything is said.
    #[error("{length} bytes too many")]
    Excess {
        /// How many.
        length: usize,
    },
    /// A packet status symbol that the draft reserves.
    #[error("a reserved packet status")]
    ReservedStatus,
    /// Statuses for more packets than the packet says it has.
    #[error("status chunks that do not end with the last packet")]
    StatusOverrun,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_strictly(data: &[u8]) -> Result<Vec<Packet>, ParseError> {
        parse(&Bytes::copy_from_slice(data), Rules::Compound)
    }

    const EMPTY_RR: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 9];

    #[test]
    fn a_compound_begins_with_a_report_unless_reduced_size_is_agreed() {
        let bye = [0x80, 203, 0, 0];
        assert_eq!(parse_strictly(&bye), Err(ParseError::NotAReport { packet_type: 203 }));
        let packets = parse(&Bytes::copy_from_slice(&bye), Rules::ReducedSize);
        assert_eq!(packets, Ok(vec![Packet::Bye(Bye::default())]));
        assert_eq!(parse_strictly(&[]), Err(ParseError::Empty));
    }

    #[test]
    fn lengths_must_add_up() {
        let mut data = EMPTY_RR.to_vec();
        data.extend([0x80, 202, 0, 1]);
        let error = ParseError::Length { offset: 8, claimed: 8, length: 4 };
        assert_eq!(parse_strictly(&data), Err(error));
        data.truncate(10);
        assert_eq!(parse_strictly(&data), Err(ParseError::TooShort { offset: 8, length: 2 }));
    }

    #[test]
    fn only_the_last_packet_may_be_padded() {
        let padded = [0xa0, 201, 0, 2, 0, 0, 0, 9, 0, 0, 0, 4];
        assert_eq!(parse_strictly(&padded).map(|p| p.len()), Ok(1));
        let mut data = padded.to_vec();
        data.extend(EMPTY_RR);
        let error = ParseError::Padding { offset: 0, padding: 4, last: false };
        assert_eq!(parse_strictly(&data), Err(error));
    }

    #[test]
    fn transport_feedback_may_fill_its_last_word_with_padding() {
        // As str0m and libwebrtc write it: one packet, and one byte of padding.
        let feedback =
            [0xaf, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0x20, 1, 0, 1];
        let parsed = parse(&Bytes::copy_from_slice(&feedback), Rules::ReducedSize);
        let Packet::TransportFeedback(parsed) = &parsed.expect("it is well formed")[0] else {
            panic!("it is another one");
        };
        assert_eq!((parsed.packet_count, parsed.arrived.len()), (1, 1));
        // Nothing else may.
        let mut report = feedback;
        report[1] = 201;
        let error = parse(&Bytes::copy_from_slice(&report), Rules::ReducedSize);
        assert!(matches!(error, Err(ParseError::Padding { padding: 1, .. })), "{error:?}");
    }

    #[test]
    fn what_an_application_says_is_read_and_a_view_is_understood() {
        let mut data = EMPTY_RR.to_vec();
        data.extend([0x83, 204, 0, 3, 0, 0, 0, 1, b'V', b'I', b'E', b'W', 0, 0, 0, 41]);
        let packets = parse_strictly(&data).expect("it is well formed");
        let Packet::Application(said) = &packets[1] else { panic!("{packets:?}") };
        let view = View { media: 3, source: 41, lines_max: None };
        assert_eq!((said.ssrc, said.as_view()), (1, Some(view)));
        assert_eq!(*said, Application { ssrc: 1, ..Application::view(view) });
        let small = View { lines_max: Some(180), ..view };
        assert_eq!(Application::view(small).as_view(), Some(small));
        let any =
            Application { data: Bytes::from_static(&[0, 0, 0, 41, 0, 0, 0, 0]), ..said.clone() };
        assert_eq!(any.as_view(), Some(view));
        let mut out = BytesMut::new();
        write(&packets, &mut out);
        assert_eq!(out, data);
        // Without a source it is no view, and without a name nothing.
        let bare = [0x83, 204, 0, 2, 0, 0, 0, 1, b'V', b'I', b'E', b'W'];
        let bare = parse(&Bytes::copy_from_slice(&bare), Rules::ReducedSize).expect("well formed");
        let Packet::Application(said) = &bare[0] else { panic!("{bare:?}") };
        assert_eq!(said.as_view(), None);
        let error =
            parse(&Bytes::copy_from_slice(&[0x83, 204, 0, 1, 0, 0, 0, 1]), Rules::ReducedSize);
        assert!(matches!(error, Err(ParseError::Body { packet_type: 204, .. })), "{error:?}");
    }

    #[test]
    fn an_unknown_type_is_kept_as_it_came() {
        let mut data = EMPTY_RR.to_vec();
        data.extend([0x85, 207, 0, 2, 0, 0, 0, 1, b't', b'e', b's', b't']);
        let packets = parse_strictly(&data).expect("it is well formed");
        assert!(matches!(packets[1], Packet::Other { packet_type: 207, count: 5, .. }));
        let mut out = BytesMut::new();
        write(&packets, &mut out);
        assert_eq!(out, data);
    }
}
