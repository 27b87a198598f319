//! The crate from outside: files of others, every format there and back, hostile bytes.

mod discovery;
mod formats;
mod hostile;
mod import;
mod outside;
mod own;
