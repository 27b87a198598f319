//! The crate from outside: files of others, every format there and back, hostile bytes.

mod outside;
mod own;
