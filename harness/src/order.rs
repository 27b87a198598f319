//! What people and the platform agree on beside the network: the taps on a phone that
//! ring somebody, and what its screen shows. In a simulated world it reaches the other
//! side at once.

/// One tap, or one change on the screen.
#[derive(Clone, Debug)]
pub enum Order {}
