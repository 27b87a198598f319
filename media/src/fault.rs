//! Bugs on demand, one at a time and for one thread: each is a line at the very place of a
//! stage where somebody could make that mistake. Controls switch them on to prove that the
//! case which judges the stage finds it out. Only with the feature `faults`; without it
//! `is` is a constant, and nothing is left of the hooks.

#![cfg_attr(not(feature = "faults"), allow(unreachable_pub, reason = "nobody sees it then"))]

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A bug that can be switched on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        #[cfg(feature = "faults")]
        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

faults! {
    /// The first number after a wrap is extended by one too little.
    SequenceOffByOne,
    /// Numbers after a wrap fall back into the first cycle.
    WrapNotCounted,
    /// A source that counts anew is never believed.
    RestartIgnored,
    /// Interarrival jitter is kept in milliseconds instead of timestamp units.
    JitterInMilliseconds,
    /// Jitter moves by an eighth of the difference instead of a sixteenth.
    JitterDivisorEight,
    /// Jitter in seconds is computed as if every clock ran at 8 kHz.
    JitterSecondsAtEightKilohertz,
    /// Packets lost are those expected less the unique ones that came.
    LossIgnoresDuplicates,
    /// Packets that came out of order stay counted as missing.
    ReorderedCountedMissing,
    /// A duplicate below the highest number counts as reordered.
    DuplicateCountedReordered,
    /// Eight packets received in a row end a burst instead of sixteen.
    GapMinHalved,
    /// The fraction lost of a report is in hundredths instead of 256ths.
    FractionLostInPercent,
    /// Packets expected leave the first one out in the loss of a report.
    ExpectedOffByOne,
    /// The jitter of a report is sixteen times what it should be.
    ReportedJitterUnscaled,
    /// The highest number of a report has no cycles.
    ReportedHighestWithoutCycles,
    /// The delay since the last sender report is in milliseconds instead of 1/65536 s.
    DelaySinceReportInMilliseconds,
    /// Reports go out without a source description.
    CanonicalNameMissing,
    /// Reports are never due.
    ReportsNeverSent,
    /// The source description goes before the report.
    ReportNotFirst,
    /// The NTP time of a sender report is that of a second ago.
    SenderReportASecondLate,
    /// The octets of a sender report include the RTP headers.
    OctetsWithHeaders,
    /// A session that ends says nothing.
    GoodbyeForgotten,
    /// A session says goodbye when it begins.
    GoodbyeTooEarly,
    /// Negative acknowledgements name packets that wait for others as well.
    ReceivedAskedFor,
    /// A missing packet is asked for again and again, without a pause.
    AskedForWithoutEnd,
    /// A missing packet is never asked for.
    NeverAskedFor,
    /// A packet that is asked for is not sent again.
    NeverSentAgain,
    /// A packet that is sent again has another timestamp.
    SentAgainChanged,
    /// Everything is sent at once, whatever the path carries.
    PathIgnored,
    /// Where the path is narrow, a shared screen has to wait for the cameras.
    ScreenLikeCamera,
    /// Sound is never protected, whatever the peer loses.
    LossUnheeded,
    /// The timestamps of our sound run twice as fast as it does.
    SoundStampedTwiceAsFast,
    /// A packet that came again is counted, and not passed on.
    RecoveredKeptBack,
    /// Datagrams of RTCP are not counted as received.
    DatagramNotCounted,
    /// What is dropped is counted, but nobody is told.
    DropNotSaid,
    /// A packet that comes too late is decoded and played after all.
    LatePacketPlayed,
    /// A packet that came before is passed on, decoded and played again.
    DuplicatePlayed,
    /// A packet whose turn has passed is taken for a good one and played when it comes.
    OvertakenPlayed,
    /// The delay to aim at is always the least one.
    JitterNotFollowed,
    /// What is played is never stretched, and pauses stay as they are.
    DriftNotFollowed,
    /// What a stretch left over is taken for time in which a packet may still come.
    LeftoverTakenForReserve,
    /// A late packet is not counted as late.
    PacketForgotten,
    /// Frames with concealed sound are left out of the samples handed out.
    SamplesUncounted,
    /// Now and then a frame is made up although its packet waits, which is then thrown away.
    ConcealedThoughPresent,
    /// Playing begins a second later than configured.
    PlayoutAddsDelay,
    /// Every decoded sample is one more than the codec said.
    PlayedOneTooLoud,
    /// A-law is taken for µ-law, and µ-law for A-law.
    LawsSwapped,
    /// Left and right change places.
    ChannelsSwapped,
    /// Every packet with the end of a digit reports it again.
    DigitAgainAtEachEnd,
    /// The star is taken for the pound.
    StarTakenForPound,
    /// A digit whose end was lost is forgotten.
    LostEndNeverReported,
    /// The duration of a digit is taken for milliseconds.
    TicksTakenForMilliseconds,
    /// Every digit is said to have lost its end.
    EndAlwaysLost,
    /// The last fragment of a unit is left out, and the unit is called whole.
    FragmentEndDropped,
    /// A unit with a missing packet is called whole.
    GapIgnored,
    /// Of an aggregate only the first unit is taken.
    AggregateCut,
    /// The marker bit ends no unit.
    MarkerIgnored,
    /// Parameter sets are left out of access units.
    ParameterSetsDropped,
    /// What refers to a lost frame is handed out like anything else.
    LostReferenceIgnored,
    /// No key frame is ever asked for.
    KeyFrameNeverAskedFor,
    /// A key frame is asked for again with each packet until it comes.
    KeyFrameAskedForAlways,
    /// A whole frame is handed out twice.
    FrameTwice,
    /// Frames are dropped without a word.
    FrameLostSilently,
    /// A corner of every picture is changed on its way from the decoder.
    PictureTouched,
    /// The two planes of colour of a picture change places.
    PlanesSwapped,
    /// Speakers hear themselves in the mix.
    OneselfHeard,
    /// Where many speak, those are heard who are not loud.
    SoftestHeard,
}

#[cfg(feature = "faults")]
thread_local! {
    static ACTIVE: core::cell::Cell<Option<Fault>> = const { core::cell::Cell::new(None) };
}

/// Keeps a fault switched on in this thread; dropping it switches the fault off.
#[cfg(feature = "faults")]
#[derive(Debug)]
#[must_use = "the fault is off again as soon as this is dropped"]
pub struct Guard(());

/// Switches a fault on in this thread.
#[cfg(feature = "faults")]
pub fn switch_on(fault: Fault) -> Guard {
    ACTIVE.set(Some(fault));
    Guard(())
}

#[cfg(feature = "faults")]
impl Drop for Guard {
    fn drop(&mut self) {
        ACTIVE.set(None);
    }
}

/// Whether this fault is switched on.
#[cfg(feature = "faults")]
#[inline]
pub(crate) fn is(fault: Fault) -> bool {
    ACTIVE.get() == Some(fault)
}

/// Never.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub(crate) const fn is(_: Fault) -> bool {
    false
}
