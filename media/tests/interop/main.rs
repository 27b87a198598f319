//! Real stacks of other makers, live, over the loopback interface: each calls a session of
//! ours that says and shows again what it hears and sees. Not part of the usual tests, since
//! it takes the stacks: `make interop-media`. What comes out is printed.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a live test has sockets, threads and a clock"
)]

mod aiortc;
mod chromium;
mod echo;
mod page;
