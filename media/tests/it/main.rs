//! The media path from outside: this list is the table of contents.

mod rtcp;
mod rtp;
