//! Bugs on demand, as in `callrig_media`: one at a time and for one thread, each a line at
//! the place where somebody could make that mistake, so that controls can prove that the
//! case which judges it finds it out. Only with the feature `faults`.

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
    /// Of the notifications that wait, the newest is sent first.
    NotificationsOutOfOrder,
    /// A notification is sent although the one before it was not answered yet.
    NextBeforeAnswer,
    /// A call never says that its media is active.
    MediaActiveNeverSaid,
    /// With its media active a call says that it was deleted.
    EndToldTooEarly,
    /// The end of an operation is notified twice.
    OperationEndsTwice,
    /// The end of a prompt is not notified.
    PromptEndLost,
    /// The end of a call is not notified.
    EndNeverTold,
    /// A call that ends does not say why.
    EndWithoutResult,
    /// The envelope of notifications does not say its type.
    EnvelopeUntyped,
    /// Notifications do not name the resource that they are about.
    ResourceUnnamed,
    /// An accepted operation is answered without a Location.
    LocationMissing,
    /// The platform relays nothing.
    MediaNotRelayed,
    /// Nobody in a conference is sent what was mixed.
    MixNeverSent,
    /// Of the voices in a mix the loudest is not named.
    LoudestNotNamed,
    /// Pictures lose their last byte on the way through a conference.
    PictureCutShort,
    /// About a third of the pictures of a conference are left out.
    PicturesLeftOut,
    /// Who turns to somebody in a conference sees them at once, not from a key frame on.
    PictureWithoutKeyFrame,
    /// Of several layers the smallest is always chosen.
    SmallestLayerChosen,
    /// Layers are chosen whatever the path carries.
    LayerTooLargeChosen,
    /// Nobody in a conference is asked for a key frame.
    KeyFrameNotAskedFor,
    /// Every tone of a call has the number 1.
    ToneNumberStandsStill,
    /// Every other tone is not notified.
    ToneNotTold,
    /// The bot's answer to a call is never sent.
    AnswerNeverSent,
    /// The bot answers notifications with 400.
    NotificationRefused,
    /// Subscriptions to tones are refused.
    SubscriptionRefused,
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
