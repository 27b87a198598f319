//! The resources of the Microsoft Graph calls API as types, shaped after its metadata
//! (v1.0 and beta) and lenient where documentation, metadata and the wire differ: unknown
//! properties are kept, enum values of tomorrow too, enums are read in any case, numbers
//! also as strings. What is written follows the documentation: camelCase throughout.

mod action;
mod call;
mod enums;
mod error;
mod identity;
mod media_config;
mod meeting;
mod notification;
mod operation;
mod participant;
mod shape;

pub use action::*;
pub use call::*;
pub use enums::*;
pub use error::*;
pub use identity::*;
pub use media_config::*;
pub use meeting::*;
pub use notification::*;
pub use operation::*;
pub use participant::*;
pub use shape::{BODY_BYTES_MAX, Code, Number, ParseError, parse, same_type};
