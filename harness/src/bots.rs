//! Simulated bots: [`Bot`] of the product with a will of its own on top. They are what a
//! vendor's bot would be, written with our own client: [`listener`], [`echo`], [`menu`],
//! [`convener`].

pub mod convener;
pub mod echo;
pub mod listener;
pub mod menu;
pub mod samples;

use callrig_media::time::{Instant, earlier};
use callrig_signaling::bot::{Bot, Event};
use callrig_signaling::exchange::{self, Output as Does};
use callrig_signaling::http::{Request, Response};

use crate::actor::{Actor, Input, Output};
use crate::said::{Leg, Said};

/// What a bot makes of what happens to it.
pub trait Will: Send {
    /// The world begins, and the bot does something of its own accord.
    ///
    /// # Errors
    /// As [`heed`](Self::heed).
    fn begin(&mut self, now: Instant, bot: &mut Bot) -> Result<(), String> {
        let _ = (now, bot);
        Ok(())
    }

    /// Something happened; act through `bot`.
    ///
    /// # Errors
    /// What was wanted cannot be done: the run cannot be judged.
    fn heed(&mut self, now: Instant, bot: &mut Bot, event: &Event) -> Result<(), String>;

    /// Answers a request that is not the platform's notification, such as the fetching of
    /// a prompt.
    fn serve(&mut self, request: &Request) -> Option<Response> {
        let _ = request;
        None
    }
}

/// A bot in a world.
pub struct Living<W> {
    bot: Bot,
    will: W,
    now: Instant,
    served: Option<Response>,
    fault: Option<String>,
    /// When it begins, if it has not.
    begins: Option<Instant>,
}

impl<W: Will> Living<W> {
    /// A bot with a will.
    pub const fn new(bot: Bot, will: W) -> Self {
        let (now, begins) = (Instant::ZERO, Some(Instant::ZERO));
        Self { bot, will, now, served: None, fault: None, begins }
    }

    fn translate(&mut self, event: Event) -> Output {
        if let Err(fault) = self.will.heed(self.now, &mut self.bot, &event) {
            self.fault = Some(fault);
        }
        Output::Said(match event {
            Event::Media { event, .. } => Said::media(Leg(0), event),
            other => Said::Bot(Box::new(other)),
        })
    }
}

impl<W: Will> Actor for Living<W> {
    fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = now;
        let input = match input {
            Input::Datagram(datagram) => exchange::Input::Datagram(datagram),
            Input::Request(request) => {
                if let Some(response) = self.will.serve(&request) {
                    self.served = Some(response);
                    return;
                }
                exchange::Input::Request(request)
            }
            Input::Response(response) => exchange::Input::Response(response),
            Input::Failed(failure) => exchange::Input::Failed(failure),
            Input::Timeout => {
                if self.begins.take().is_some() {
                    self.fault = self.will.begin(now, &mut self.bot).err();
                }
                exchange::Input::Timeout
            }
            Input::Order(..) => return,
        };
        self.bot.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some(fault) = self.fault.take() {
            return Some(Output::Said(Said::Fault(fault)));
        }
        if let Some(response) = self.served.take() {
            return Some(Output::Response(response));
        }
        Some(match self.bot.poll_output()? {
            Does::Request(request) => Output::Request(request),
            Does::Response(response) => Output::Response(response),
            Does::Datagram(datagram) => Output::Datagram(datagram),
            Does::Event(event) => self.translate(event),
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.begins, self.bot.poll_timeout())
    }
}

/// Words for a request that the platform refused; nothing else of it matters to a bot
/// that only does what is allowed.
fn refused(event: &Event) -> Option<String> {
    match event {
        Event::Refused { status, code, message, .. } => {
            Some(format!("the platform refused a request: {status} {code}: {message}"))
        }
        _ => None,
    }
}
