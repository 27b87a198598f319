//! The world around the product. [`simulated`] is made of virtual time and seeded links.

pub mod simulated;
