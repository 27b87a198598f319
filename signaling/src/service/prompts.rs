//! Files that bots have played: fetched over HTTP, checked (WAV, one channel, 16 bits,
//! 16 kHz), kept under the app's `resourceId` for the next time. Bounded in bytes; what
//! was used longest ago makes room.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use callrig_media::prompt::Wav;
use callrig_media::time::Instant;

use super::notify::uri_allowed;
use super::reply::ApiError;
use super::{Output, Service, Timer, Waiting};
use crate::call::queue::PromptKey;
use crate::call::result::EndResult;
use crate::event::{DropReason, Event};
use crate::graph;
use crate::http::{Method, Request, Response};
use crate::id::{AppId, CallId, OperationId};

/// A file, or the wait for it.
#[derive(Debug)]
enum File {
    /// Which calls need it.
    Fetching {
        calls: BTreeSet<CallId>,
    },
    Ready {
        sound: Wav,
        used: u64,
    },
}

/// The files that are kept.
#[derive(Debug)]
pub(crate) struct Prompts {
    files: BTreeMap<PromptKey, File>,
    bytes: usize,
    bytes_max: usize,
    uses: u64,
}

impl Prompts {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { files: BTreeMap::new(), bytes: 0, bytes_max, uses: 0 }
    }

    /// Says that a call needs a file; whether it has to be asked for.
    fn want(&mut self, key: &PromptKey, call: CallId) -> bool {
        match self.files.get_mut(key) {
            Some(File::Ready { .. }) => false,
            Some(File::Fetching { calls }) => {
                calls.insert(call);
                false
            }
            None => {
                let calls = BTreeSet::from([call]);
                self.files.insert(key.clone(), File::Fetching { calls });
                true
            }
        }
    }

    /// The wait for a file is over: which calls needed it.
    fn stop_waiting(&mut self, key: &PromptKey) -> BTreeSet<CallId> {
        match self.files.remove(key) {
            Some(File::Fetching { calls }) => calls,
            Some(ready) => {
                self.files.insert(key.clone(), ready);
                BTreeSet::new()
            }
            None => BTreeSet::new(),
        }
    }

    /// The file, if it is there.
    pub(crate) fn get(&mut self, key: &PromptKey) -> Option<Wav> {
        self.uses += 1;
        match self.files.get_mut(key)? {
            File::Ready { sound, used } => {
                *used = self.uses;
                Some(sound.clone())
            }
            File::Fetching { .. } => None,
        }
    }

    /// Whether the file is there.
    pub(crate) fn is_ready(&self, key: &PromptKey) -> bool {
        matches!(self.files.get(key), Some(File::Ready { .. }))
    }

    fn remove(&mut self, key: &PromptKey) {
        if let Some(File::Ready { sound, .. }) = self.files.remove(key) {
            self.bytes -= bytes_of(&sound);
        }
    }

    /// Keeps a file; `false` if there is no room for it even then.
    fn keep(&mut self, key: &PromptKey, sound: Wav) -> bool {
        self.uses += 1;
        self.bytes += bytes_of(&sound);
        let file = File::Ready { sound, used: self.uses };
        self.files.insert(key.clone(), file);
        while self.bytes > self.bytes_max {
            let oldest = self
                .files
                .iter()
                .filter_map(|(other, file)| match file {
                    File::Ready { used, .. } if other != key => Some((*used, other.clone())),
                    _ => None,
                })
                .min();
            match oldest {
                Some((_, other)) => self.remove(&other),
                None => return false,
            }
        }
        true
    }
}

/// How much memory a file takes at most: what it is encoded to is as large as the samples once
/// more.
fn bytes_of(sound: &Wav) -> usize {
    2 * size_of_val(sound.samples())
}

impl Service {
    /// The key under which a file is kept: the app's `resourceId`, or without one a key
    /// of this operation alone.
    pub(super) fn prompt_key(
        &self,
        app: &AppId,
        operation: OperationId,
        info: &graph::MediaInfo,
    ) -> Result<(PromptKey, String), ApiError> {
        let uri = info.uri.clone().ok_or_else(|| ApiError::missing("mediaInfo/uri"))?;
        if !uri_allowed(self.config.uris, &uri) {
            return Err(ApiError::bad_request(format!("The media URI '{uri}' is not allowed.")));
        }
        let name = match info.resource_id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => format!("{app} {}", id.to_ascii_lowercase()),
            None => format!("{app} {operation} {uri}"),
        };
        Ok((PromptKey(name), uri))
    }

    /// Asks for a file, unless it is there or on its way.
    pub(super) fn fetch_prompt(&mut self, now: Instant, call: CallId, key: PromptKey, uri: String) {
        if !self.prompts.want(&key, call) {
            return;
        }
        let id = self.next_request();
        let headers = [("Accept", "audio/wav, audio/x-wav, */*")].into();
        let request = Request { id, method: Method::Get, uri, headers, body: Bytes::new() };
        self.waiting.insert(id, Waiting::Prompt(key));
        self.timers.set(Timer::Fetch(id), now + self.config.limits.prompt_fetch);
        self.outputs.push_back(Output::Request(request));
    }

    /// Asks for the files that a service-hosted call says it will need soon.
    pub(super) fn prefetch(&mut self, now: Instant, call: CallId, config: &graph::MediaConfig) {
        let graph::MediaConfig::ServiceHosted(config) = config else { return };
        let files = config.pre_fetch_media.clone().unwrap_or_default();
        let Some(held) = self.calls.get_mut(&call) else { return };
        held.pre_fetch.clone_from(&files);
        let app = held.app.clone();
        // Without a resource id nothing could find the file again.
        for info in files.iter().filter(|info| info.resource_id.is_some()) {
            if let Ok((key, uri)) = self.prompt_key(&app, OperationId::from_u128(0), info) {
                self.fetch_prompt(now, call, key, uri);
            }
        }
    }

    /// The file came, or did not.
    pub(super) fn prompt_answered(
        &mut self,
        now: Instant,
        key: &PromptKey,
        outcome: Result<Response, String>,
    ) {
        let calls = self.prompts.stop_waiting(key);
        match self.read_prompt(outcome) {
            Ok(sound) => {
                if !self.prompts.keep(key, sound) {
                    self.say(Event::Dropped { reason: DropReason::PromptCacheFull });
                }
                for call in calls {
                    self.advance_queue(now, call);
                    self.hold_prompt_came(now, call, key);
                }
            }
            Err(result) => {
                for call in calls {
                    let needing = self.calls.get(&call).map(|held| held.queue.needing(key));
                    for operation in needing.unwrap_or_default() {
                        self.fail_work(now, call, operation, result.clone());
                    }
                    self.hold_prompt_failed(now, call, key, &result);
                }
            }
        }
    }

    fn read_prompt(&self, outcome: Result<Response, String>) -> Result<Wav, EndResult> {
        let response = outcome.map_err(|reason| EndResult::prompt_not_downloaded(&reason))?;
        if !response.is_success() {
            let status = format!("HTTP {}", response.status);
            return Err(EndResult::prompt_not_downloaded(&status));
        }
        let (bytes, most) = (response.body.len(), self.config.limits.prompt_bytes_max);
        if bytes > most {
            let detail = format!("it has {bytes} bytes; the limit is {most}");
            return Err(EndResult::invalid_prompt_file(&detail));
        }
        Wav::parse(&response.body)
            .map_err(|error| EndResult::invalid_prompt_file(&error.to_string()))
    }
}
