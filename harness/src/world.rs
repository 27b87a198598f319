//! The world around the product. [`simulated`] is made of virtual time and seeded links;
//! [`live`] of threads, sockets and the machine's clock. Both hand everything to the same
//! actors through the same [`step`](crate::drive::step).

pub mod live;
pub mod simulated;
