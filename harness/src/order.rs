//! What people and the platform agree on beside the network: the taps on a phone that
//! ring somebody, and what its screen shows. In a simulated world it reaches the other
//! side at once.

use callrig_media::description::Description;
use callrig_signaling::id::{AppId, LegId, UserId};

/// One tap, or one change on the screen.
#[derive(Clone, Debug)]
pub enum Order {
    /// A person rings a bot.
    Ring {
        /// Who.
        user: UserId,
        /// Whose bot.
        app: AppId,
        /// What the person's phone offers.
        offer: Description,
    },
    /// A person comes into the meeting that a bot holds.
    Join {
        /// Who.
        user: UserId,
        /// Whose bot.
        app: AppId,
        /// What the person's phone offers.
        offer: Description,
    },
    /// A person hangs up.
    HangUp {
        /// The person's leg.
        leg: LegId,
    },
    /// The bot rings, or the person is in.
    Ringing {
        /// The person's leg.
        leg: LegId,
    },
    /// The platform did not let it happen.
    Refused {
        /// Why, in words.
        reason: String,
    },
    /// The bot answered: media goes to the address in the description.
    Answered {
        /// The platform's answer to the offer.
        description: Description,
    },
    /// The person is no longer in a call.
    Ended {
        /// The result's code.
        code: u16,
        /// What it says.
        message: String,
    },
}
