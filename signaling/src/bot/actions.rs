//! Everything else that can be done to a call: each a typed request with a number, by
//! which its answer and, where it begins an operation, its completion will be known.

use core::time::Duration;

use callrig_media::time::Instant;
use serde_json::json;

use super::request::{client_context, prompt};
use super::{ActionId, AnswerMedia, Bot, CommandError, Join, MediaFile, What};
use crate::graph;
use crate::http::Method;
use crate::id::{AppId, CallId, LegId, UserId};

/// Whom to call, invite, redirect or transfer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A person.
    User(UserId),
    /// An app's bot.
    Application(AppId),
    /// A telephone number (E.164).
    Phone(String),
    /// The voicemail of a person.
    Voicemail(UserId),
}

/// One or several.
pub type Targets<'a> = &'a [Target];

impl Target {
    /// As the API names it; `replaces` is the call that it takes the place of.
    fn to_graph(&self, replaces: Option<CallId>) -> graph::InvitationParticipantInfo {
        let identity = |id: &str| {
            Some(graph::Identity { id: Some(id.to_owned()), ..graph::Identity::typed() })
        };
        let mut set = graph::IdentitySet::typed();
        let mut endpoint_type = None;
        match self {
            Self::User(id) => set.user = identity(id.as_str()),
            Self::Application(id) => set.application = identity(id.as_str()),
            Self::Phone(number) => set.phone = identity(number),
            Self::Voicemail(id) => {
                set.user = identity(id.as_str());
                endpoint_type = Some(graph::EndpointType::Voicemail);
            }
        }
        graph::InvitationParticipantInfo {
            identity: Some(set),
            endpoint_type,
            replaces_call_id: replaces.map(|call| call.to_string()),
            ..graph::InvitationParticipantInfo::typed()
        }
    }
}

impl Bot {
    /// Calls somebody, or several together as a group; [`super::Event::Created`] names
    /// the call.
    pub fn call_targets(
        &mut self,
        now: Instant,
        targets: Targets<'_>,
        media: &AnswerMedia,
    ) -> ActionId {
        let targets = targets.iter().map(|target| target.to_graph(None)).collect();
        self.create(now, media, |call| call.targets = Some(targets))
    }

    /// Calls a person; [`super::Event::Created`] names the call.
    pub fn call_user(&mut self, now: Instant, user: &UserId, media: &AnswerMedia) -> ActionId {
        self.call_targets(now, &[Target::User(user.clone())], media)
    }

    /// Joins a meeting; [`super::Event::Created`] names the call.
    pub fn join(&mut self, now: Instant, join: &Join, media: &AnswerMedia) -> ActionId {
        self.create(now, media, |call| join.describe(call))
    }

    fn create(
        &mut self,
        now: Instant,
        media: &AnswerMedia,
        describe: impl FnOnce(&mut graph::Call),
    ) -> ActionId {
        let mut body = graph::Call {
            callback_uri: Some(self.config.callback_uri.clone()),
            requested_modalities: Some(media.modalities()),
            media_config: Some(media.to_graph()),
            ..graph::Call::typed()
        };
        describe(&mut body);
        let what = What::Create(media.own());
        self.send(now, Method::Post, "/communications/calls", Some(&body), None, what)
    }

    /// Sends an incoming call elsewhere; several targets ring together.
    ///
    /// # Errors
    /// No such call.
    pub fn redirect(
        &mut self,
        now: Instant,
        call: CallId,
        targets: Targets<'_>,
        timeout: Option<Duration>,
    ) -> Result<ActionId, CommandError> {
        let body = graph::Redirect {
            targets: Some(targets.iter().map(|target| target.to_graph(None)).collect()),
            timeout: timeout.map(seconds),
            callback_uri: Some(self.config.callback_uri.clone()),
            ..graph::Redirect::default()
        };
        self.act(now, call, "redirect", What::Other, |_| body)
    }

    /// Hands an established call on to somebody else; with `replaces` to somebody to whom
    /// that other call of this bot goes (a consultative transfer). `transferee` is needed
    /// in a call of several: who is handed on.
    ///
    /// # Errors
    /// No such call.
    pub fn transfer(
        &mut self,
        now: Instant,
        call: CallId,
        target: &Target,
        replaces: Option<CallId>,
        transferee: Option<&graph::Participant>,
    ) -> Result<ActionId, CommandError> {
        let transferee = transferee.and_then(|participant| {
            let info = participant.info.clone()?;
            Some(graph::ParticipantInfo { participant_id: participant.id.clone(), ..info })
        });
        let target = target.to_graph(replaces);
        self.act(now, call, "transfer", What::Other, |context| graph::Transfer {
            transfer_target: Some(target),
            transferee,
            client_context: Some(context),
            ..graph::Transfer::default()
        })
    }

    /// Has the platform drop the bot's own sound.
    ///
    /// # Errors
    /// No such call.
    pub fn mute(&mut self, now: Instant, call: CallId) -> Result<ActionId, CommandError> {
        self.act(now, call, "mute", What::Operation, client_context)
    }

    /// Undoes [`Bot::mute`].
    ///
    /// # Errors
    /// No such call.
    pub fn unmute(&mut self, now: Instant, call: CallId) -> Result<ActionId, CommandError> {
        self.act(now, call, "unmute", What::Operation, client_context)
    }

    /// Begins to share a screen, or ends it.
    ///
    /// # Errors
    /// No such call.
    pub fn change_screen_sharing_role(
        &mut self,
        now: Instant,
        call: CallId,
        role: graph::ScreenSharingRole,
    ) -> Result<ActionId, CommandError> {
        let body = graph::ChangeScreenSharingRole {
            role: Some(role),
            ..graph::ChangeScreenSharingRole::default()
        };
        self.act(now, call, "changeScreenSharingRole", What::Other, |_| body)
    }

    /// Says whether this bot records a call that it records by policy.
    ///
    /// # Errors
    /// No such call.
    pub fn update_recording_status(
        &mut self,
        now: Instant,
        call: CallId,
        status: graph::RecordingStatus,
    ) -> Result<ActionId, CommandError> {
        self.act(now, call, "updateRecordingStatus", What::Operation, |context| {
            graph::UpdateRecordingStatus {
                status: Some(status),
                client_context: Some(context),
                ..graph::UpdateRecordingStatus::default()
            }
        })
    }

    /// Puts a text beside the bot in the roster.
    ///
    /// # Errors
    /// No such call.
    pub fn update_metadata(
        &mut self,
        now: Instant,
        call: CallId,
        metadata: &str,
    ) -> Result<ActionId, CommandError> {
        let metadata = Some(metadata.to_owned());
        self.act(now, call, "updateMetadata", What::Operation, |context| graph::UpdateMetadata {
            metadata,
            client_context: Some(context),
            ..graph::UpdateMetadata::default()
        })
    }

    /// Adds the participant whose video is everybody's.
    ///
    /// # Errors
    /// No such call.
    pub fn add_large_gallery_view(
        &mut self,
        now: Instant,
        call: CallId,
    ) -> Result<ActionId, CommandError> {
        self.act(now, call, "addLargeGalleryView", What::Operation, client_context)
    }

    /// Invites people into a call; with `replaces` one who is in that other call.
    ///
    /// # Errors
    /// No such call.
    pub fn invite(
        &mut self,
        now: Instant,
        call: CallId,
        targets: Targets<'_>,
        replaces: Option<CallId>,
    ) -> Result<ActionId, CommandError> {
        let participants = targets.iter().map(|target| target.to_graph(replaces)).collect();
        self.act(now, call, "participants/invite", What::Operation, |context| graph::Invite {
            participants: Some(participants),
            client_context: Some(context),
            ..graph::Invite::default()
        })
    }

    /// Takes somebody out of a call.
    ///
    /// # Errors
    /// No such call.
    pub fn remove_participant(
        &mut self,
        now: Instant,
        call: CallId,
        participant: LegId,
    ) -> Result<ActionId, CommandError> {
        self.known(call)?;
        let path = format!("/communications/calls/{call}/participants/{participant}");
        Ok(self.send(now, Method::Delete, &path, None::<&()>, Some(call), What::Other))
    }

    /// Has the platform drop somebody's sound.
    ///
    /// # Errors
    /// No such call.
    pub fn mute_participant(
        &mut self,
        now: Instant,
        call: CallId,
        participant: LegId,
    ) -> Result<ActionId, CommandError> {
        let name = format!("participants/{participant}/mute");
        self.act(now, call, &name, What::Operation, client_context)
    }

    /// Has the platform drop the sound of several, or of everybody but the bot.
    ///
    /// # Errors
    /// No such call.
    pub fn mute_all(
        &mut self,
        now: Instant,
        call: CallId,
        participants: &[LegId],
    ) -> Result<ActionId, CommandError> {
        let participants: Vec<_> = participants.iter().map(ToString::to_string).collect();
        self.act(now, call, "participants/muteAll", What::Operation, |context| graph::MuteAll {
            participants: Some(participants).filter(|named| !named.is_empty()),
            client_context: Some(context),
            ..graph::MuteAll::default()
        })
    }

    /// Takes somebody out of the conversation and plays music to them.
    ///
    /// # Errors
    /// No such call.
    pub fn start_hold_music(
        &mut self,
        now: Instant,
        call: CallId,
        participant: LegId,
        music: Option<&MediaFile>,
    ) -> Result<ActionId, CommandError> {
        let name = format!("participants/{participant}/startHoldMusic");
        self.act(now, call, &name, What::Operation, |context| graph::StartHoldMusic {
            custom_prompt: music.map(prompt),
            client_context: Some(context),
            ..graph::StartHoldMusic::default()
        })
    }

    /// Undoes [`Bot::start_hold_music`].
    ///
    /// # Errors
    /// No such call.
    pub fn stop_hold_music(
        &mut self,
        now: Instant,
        call: CallId,
        participant: LegId,
    ) -> Result<ActionId, CommandError> {
        let name = format!("participants/{participant}/stopHoldMusic");
        self.act(now, call, &name, What::Operation, client_context)
    }

    /// Asks who is in a call; the answer becomes the roster, and is said if it differs.
    ///
    /// # Errors
    /// No such call.
    pub fn list_participants(&mut self, now: Instant, call: CallId) -> Result<(), CommandError> {
        self.known(call)?;
        self.ask_roster(now, call);
        Ok(())
    }

    /// Makes a group of participants who hear one another alone;
    /// [`super::Event::Answered`] brings it.
    ///
    /// # Errors
    /// No such call.
    pub fn create_routing_group(
        &mut self,
        now: Instant,
        call: CallId,
        group: &graph::AudioRoutingGroup,
    ) -> Result<ActionId, CommandError> {
        self.known(call)?;
        let path = format!("/communications/calls/{call}/audioRoutingGroups");
        Ok(self.send(now, Method::Post, &path, Some(group), Some(call), What::Read))
    }

    /// Changes such a group.
    ///
    /// # Errors
    /// No such call.
    pub fn update_routing_group(
        &mut self,
        now: Instant,
        call: CallId,
        id: &str,
        group: &graph::AudioRoutingGroup,
    ) -> Result<ActionId, CommandError> {
        self.known(call)?;
        let path = format!("/communications/calls/{call}/audioRoutingGroups/{id}");
        Ok(self.send(now, Method::Patch, &path, Some(group), Some(call), What::Read))
    }

    /// Asks for all such groups of a call.
    ///
    /// # Errors
    /// No such call.
    pub fn list_routing_groups(
        &mut self,
        now: Instant,
        call: CallId,
    ) -> Result<ActionId, CommandError> {
        self.known(call)?;
        let path = format!("/communications/calls/{call}/audioRoutingGroups");
        Ok(self.send(now, Method::Get, &path, None::<&()>, Some(call), What::Read))
    }

    /// Dissolves such a group.
    ///
    /// # Errors
    /// No such call.
    pub fn delete_routing_group(
        &mut self,
        now: Instant,
        call: CallId,
        id: &str,
    ) -> Result<ActionId, CommandError> {
        self.known(call)?;
        let path = format!("/communications/calls/{call}/audioRoutingGroups/{id}");
        Ok(self.send(now, Method::Delete, &path, None::<&()>, Some(call), What::Other))
    }

    /// Asks what is shared in a call; [`super::Event::Answered`] brings it.
    ///
    /// # Errors
    /// No such call.
    pub fn list_content_sharing(
        &mut self,
        now: Instant,
        call: CallId,
    ) -> Result<ActionId, CommandError> {
        self.known(call)?;
        let path = format!("/communications/calls/{call}/contentSharingSessions");
        Ok(self.send(now, Method::Get, &path, None::<&()>, Some(call), What::Read))
    }

    /// Any other action on a call, with a body of the caller's; one that begins an
    /// operation completes like all others.
    ///
    /// # Errors
    /// No such call.
    pub fn perform(
        &mut self,
        now: Instant,
        call: CallId,
        name: &str,
        mut body: serde_json::Map<String, serde_json::Value>,
    ) -> Result<ActionId, CommandError> {
        self.act(now, call, name, What::Operation, |context| {
            body.entry("clientContext").or_insert(json!(context));
            body
        })
    }
}

fn seconds(time: Duration) -> graph::Number {
    graph::Number(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}
