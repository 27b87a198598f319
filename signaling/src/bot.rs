//! The bot's side.
/// What a bot says.
#[derive(Clone, Debug)]
pub enum Event {}
