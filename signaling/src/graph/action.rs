//! Bodies of the actions on a call.

use super::shape::graph_struct;
use super::{
    CallDisposition, CallOptions, InvitationParticipantInfo, MediaConfig, Modality, Number,
    ParticipantInfo, Prompt, RecordingStatus, RejectReason, ScreenSharingRole, Tone,
};

graph_struct! {
    /// Answer an incoming call.
    Answer("answer") {
        /// Where notifications go from now on.
        #[serde(alias = "callback")]
        callback_uri: Option<String>,
        /// Who handles media.
        media_config: Option<MediaConfig>,
        /// Which media the app takes.
        accepted_modalities: Option<Vec<Modality>>,
        /// How many participants a policy recorder takes.
        participant_capacity: Option<Number>,
        /// What the app wants.
        call_options: Option<CallOptions>,
    }
}

graph_struct! {
    /// Reject an incoming call.
    Reject("reject") {
        /// Why.
        reason: Option<RejectReason>,
        /// Where notifications go from now on.
        callback_uri: Option<String>,
    }
}

graph_struct! {
    /// Send an incoming call elsewhere.
    Redirect("redirect") {
        /// Where to.
        targets: Option<Vec<InvitationParticipantInfo>>,
        /// How long it rings there, in seconds.
        timeout: Option<Number>,
        /// Together or one by one (beta, deprecated).
        target_disposition: Option<CallDisposition>,
        /// The app is not told who took the call (beta).
        mask_callee: Option<bool>,
        /// Who takes the call is not told who calls (beta).
        mask_caller: Option<bool>,
        /// Where notifications go from now on.
        callback_uri: Option<String>,
    }
}

graph_struct! {
    /// Hand the other side over to somebody.
    Transfer("transfer") {
        /// To whom.
        transfer_target: Option<InvitationParticipantInfo>,
        /// Whom, in a group.
        transferee: Option<ParticipantInfo>,
        /// What the app gives to know it by.
        client_context: Option<String>,
    }
}

graph_struct! {
    /// Play prompts.
    PlayPrompt("playPrompt") {
        /// What, in order.
        prompts: Option<Vec<Prompt>>,
        /// Again and again (beta).
        #[serde(rename = "loop")]
        repeat: Option<bool>,
        /// What the app gives to know it by.
        client_context: Option<String>,
    }
}

graph_struct! {
    /// Record what the other side says.
    RecordResponse("recordResponse") {
        /// Played before.
        prompts: Option<Vec<Prompt>>,
        /// Takes the place of what plays or records now.
        barge_in_allowed: Option<bool>,
        /// How long to wait for the first word.
        initial_silence_timeout_in_seconds: Option<Number>,
        /// How long to wait for another word.
        max_silence_timeout_in_seconds: Option<Number>,
        /// How long at most.
        max_record_duration_in_seconds: Option<Number>,
        /// Beep before.
        play_beep: Option<bool>,
        /// Keys that end it.
        stop_tones: Option<Vec<String>>,
        /// What the app gives to know it by.
        client_context: Option<String>,
    }
}

graph_struct! {
    /// Press keys.
    SendDtmfTones("sendDtmfTones") {
        /// Which.
        tones: Option<Vec<Tone>>,
        /// The pause between them.
        delay_between_tones_ms: Option<Number>,
        /// What the app gives to know it by.
        client_context: Option<String>,
    }
}

graph_struct! {
    /// The body of the actions that take nothing but a context: subscribeToTone,
    /// cancelMediaProcessing, mute, unmute and their like.
    ClientContext("clientContext") {
        /// What the app gives to know it by.
        client_context: Option<String>,
    }
}

graph_struct! {
    /// Ask people in.
    Invite("invite") {
        /// Whom.
        participants: Option<Vec<InvitationParticipantInfo>>,
        /// What the app gives to know it by.
        client_context: Option<String>,
    }
}

graph_struct! {
    /// Say whether the call is recorded.
    UpdateRecordingStatus("updateRecordingStatus") {
        /// Whether.
        status: Option<RecordingStatus>,
        /// What the app gives to know it by.
        client_context: Option<String>,
    }
}

graph_struct! {
    /// Show a screen, or look at one.
    ChangeScreenSharingRole("changeScreenSharingRole") {
        /// Which.
        role: Option<ScreenSharingRole>,
    }
}

graph_struct! {
    /// Let somebody wait with music.
    StartHoldMusic("startHoldMusic") {
        /// What to play instead of the usual.
        custom_prompt: Option<Prompt>,
        /// What the app gives to know it by.
        client_context: Option<String>,
    }
}

graph_struct! {
    /// Silence several (beta, deprecated).
    MuteAll("muteAll") {
        /// Whose legs.
        participants: Option<Vec<String>>,
        /// What the app gives to know it by.
        client_context: Option<String>,
    }
}

graph_struct! {
    /// How loud a listener hears somebody (beta).
    AudioSourceLevel("audioSourceLevel") {
        /// Whose leg.
        participant: Option<String>,
        /// In percent.
        level: Option<Number>,
        /// Whether others become quieter meanwhile.
        duck_others: Option<bool>,
    }
}

graph_struct! {
    /// What a participant hears (beta).
    ParticipantMixerLevel("participantMixerLevel") {
        /// Whose leg.
        participant: Option<String>,
        /// Nobody but the sources that are named.
        #[serde(alias = "exclusive")]
        exclusive_mode: Option<bool>,
        /// Who, how loud.
        source_levels: Option<Vec<AudioSourceLevel>>,
    }
}

graph_struct! {
    /// Set the mixer (beta).
    ConfigureMixer("configureMixer") {
        /// For whom.
        participant_mixer_levels: Option<Vec<ParticipantMixerLevel>>,
        /// What the app gives to know it by.
        client_context: Option<String>,
    }
}

graph_struct! {
    /// Say how well a device's media went.
    LogDeviceQuality("logTeleconferenceDeviceQuality") {
        /// How.
        quality: Option<serde_json::Map<String, serde_json::Value>>,
    }
}

graph_struct! {
    /// Attach a text to the bot's place in rosters (2018).
    UpdateMetadata("updateMetadata") {
        /// The text.
        metadata: Option<String>,
        /// What the app gives to know it by.
        client_context: Option<String>,
    }
}
