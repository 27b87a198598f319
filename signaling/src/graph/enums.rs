//! The API's enumerations. Read in any case, written in camelCase; a member that we do
//! not know is kept as it was written, since a service of tomorrow may send it.

/// Declares an enumeration of the API.
macro_rules! graph_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$member_doc:meta])* $member:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$member_doc])* $member,)*
            /// A member that is not known here, as it was written.
            Other(String),
        }

        impl $name {
            /// Every known member.
            pub const KNOWN: &'static [Self] = &[$(Self::$member,)*];

            /// As the documentation writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$member => $text,)*
                    Self::Other(text) => text,
                }
            }

            /// Reads it in any case.
            #[must_use]
            pub fn parse(text: &str) -> Self {
                $(if text.eq_ignore_ascii_case($text) {
                    return Self::$member;
                })*
                Self::Other(text.to_owned())
            }

            /// Whether it is a known member.
            #[must_use]
            pub const fn is_known(&self) -> bool {
                !matches!(self, Self::Other(_))
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Ok(Self::parse(&text))
            }
        }
    };
}

graph_enum! {
    /// Where a call stands. `ringing` is in the beta metadata and in both versions'
    /// documentation.
    CallState {
        /// It rings at the bot.
        Incoming = "incoming",
        /// It is being set up.
        Establishing = "establishing",
        /// It rings at the other side.
        Ringing = "ringing",
        /// The sides hear one another.
        Established = "established",
        /// On hold.
        Hold = "hold",
        /// A transfer was asked for.
        Transferring = "transferring",
        /// The transferee took the transfer.
        TransferAccepted = "transferAccepted",
        /// A redirect is on its way.
        Redirecting = "redirecting",
        /// The bot hung up.
        Terminating = "terminating",
        /// It is over.
        Terminated = "terminated",
    }
}

graph_enum! {
    /// Who began a call, seen from the bot.
    CallDirection {
        /// Somebody called the bot.
        Incoming = "incoming",
        /// The bot called.
        Outgoing = "outgoing",
    }
}

graph_enum! {
    /// A kind of media.
    Modality {
        /// Not said.
        Unknown = "unknown",
        /// Sound.
        Audio = "audio",
        /// Camera.
        Video = "video",
        /// Screen, as video.
        VideoBasedScreenSharing = "videoBasedScreenSharing",
        /// Data.
        Data = "data",
        /// Screen, as 2018's documentation names it.
        ScreenSharing = "screenSharing",
    }
}

graph_enum! {
    /// Which way a participant's stream flows.
    MediaDirection {
        /// Neither way.
        Inactive = "inactive",
        /// From the participant.
        SendOnly = "sendOnly",
        /// To the participant.
        ReceiveOnly = "receiveOnly",
        /// Both ways.
        SendReceive = "sendReceive",
    }
}

graph_enum! {
    /// Whether media flows.
    MediaState {
        /// It does.
        Active = "active",
        /// It does not.
        Inactive = "inactive",
    }
}

graph_enum! {
    /// Why a bot rejects a call.
    RejectReason {
        /// No reason.
        None = "none",
        /// Busy.
        Busy = "busy",
        /// Not allowed.
        Forbidden = "forbidden",
    }
}

graph_enum! {
    /// What a bot does with the shared screen.
    ScreenSharingRole {
        /// It looks.
        Viewer = "viewer",
        /// It shows.
        Sharer = "sharer",
    }
}

graph_enum! {
    /// What a policy recorder says of its recording.
    RecordingStatus {
        /// Not said.
        Unknown = "unknown",
        /// Not recording.
        NotRecording = "notRecording",
        /// Recording.
        Recording = "recording",
        /// It failed.
        Failed = "failed",
    }
}

graph_enum! {
    /// What kind of device stands at the other end.
    EndpointType {
        /// The usual one.
        Default = "default",
        /// A mailbox.
        Voicemail = "voicemail",
        /// Skype for Business.
        SkypeForBusiness = "skypeForBusiness",
        /// Skype for Business, a telephone.
        SkypeForBusinessVoipPhone = "skypeForBusinessVoipPhone",
    }
}

graph_enum! {
    /// How a redirected call goes to its targets (beta, deprecated). All of them ring
    /// together here, whichever is asked for.
    CallDisposition {
        /// As the platform likes.
        Default = "default",
        /// All together.
        SimultaneousRing = "simultaneousRing",
        /// On to the target.
        Forward = "forward",
    }
}

graph_enum! {
    /// How a call came to where it is.
    RoutingType {
        /// Forwarded.
        Forwarded = "forwarded",
        /// Looked up.
        Lookup = "lookup",
        /// To several devices of one person.
        SelfFork = "selfFork",
    }
}

graph_enum! {
    /// Who hears whom in an audio routing group.
    RoutingMode {
        /// One source, one receiver.
        OneToOne = "oneToOne",
        /// One source, several receivers.
        Multicast = "multicast",
    }
}

graph_enum! {
    /// What happened to a resource.
    ChangeType {
        /// It is new.
        Created = "created",
        /// It changed.
        Updated = "updated",
        /// It is gone.
        Deleted = "deleted",
    }
}

graph_enum! {
    /// Where an operation stands. The metadata writes these in PascalCase.
    OperationStatus {
        /// It waits.
        NotStarted = "notStarted",
        /// It is going on.
        Running = "running",
        /// It is done.
        Completed = "completed",
        /// It failed.
        Failed = "failed",
    }
}

graph_enum! {
    /// A key of a telephone.
    Tone {
        /// 0
        Tone0 = "tone0",
        /// 1
        Tone1 = "tone1",
        /// 2
        Tone2 = "tone2",
        /// 3
        Tone3 = "tone3",
        /// 4
        Tone4 = "tone4",
        /// 5
        Tone5 = "tone5",
        /// 6
        Tone6 = "tone6",
        /// 7
        Tone7 = "tone7",
        /// 8
        Tone8 = "tone8",
        /// 9
        Tone9 = "tone9",
        /// *
        Star = "star",
        /// #
        Pound = "pound",
        /// A
        A = "a",
        /// B
        B = "b",
        /// C
        C = "c",
        /// D
        D = "d",
        /// The hook, pressed for a moment.
        Flash = "flash",
    }
}

impl Tone {
    /// The code of RFC 4733 section 3.2, 0 to 16.
    #[must_use]
    pub fn code(&self) -> Option<u8> {
        let index = Self::KNOWN.iter().position(|known| known == self)?;
        u8::try_from(index).ok()
    }

    /// The tone of an RFC 4733 code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::KNOWN.get(usize::from(code)).cloned()
    }

    /// The tone that a stop tone names: a key (`"#"`, `"1"`, `"*"`, `"A"`) or a member.
    #[must_use]
    pub fn from_key(text: &str) -> Option<Self> {
        let code = match text.trim() {
            "*" => 10,
            "#" => 11,
            digit if digit.len() == 1 && digit.as_bytes()[0].is_ascii_digit() => {
                digit.as_bytes()[0] - b'0'
            }
            other => return Some(Self::parse(other)).filter(Self::is_known),
        };
        Self::from_code(code)
    }
}

graph_enum! {
    /// Why a recording ended (beta).
    RecordCompletionReason {
        /// Cancelled.
        OperationCanceled = "operationCanceled",
        /// A stop tone was pressed.
        StopToneDetected = "stopToneDetected",
        /// It was as long as it may be.
        MaxRecordDurationReached = "maxRecordDurationReached",
        /// Nobody began to speak.
        InitialSilenceTimeout = "initialSilenceTimeout",
        /// Nobody spoke on.
        MaxSilenceTimeout = "maxSilenceTimeout",
        /// Its prompt could not be played.
        PlayPromptFailed = "playPromptFailed",
        /// Its beep could not be played.
        PlayBeepFailed = "playBeepFailed",
        /// No media came.
        MediaReceiveTimeout = "mediaReceiveTimeout",
        /// Something else.
        UnspecifiedError = "unspecifiedError",
    }
}

graph_enum! {
    /// Why a prompt (beta) or the sending of tones ended.
    CompletionReason {
        /// Not said.
        Unknown = "unknown",
        /// It was played to its end.
        CompletedSuccessfully = "completedSuccessfully",
        /// It was cancelled.
        MediaOperationCanceled = "mediaOperationCanceled",
    }
}

graph_enum! {
    /// Who may present in a meeting.
    OnlineMeetingPresenters {
        /// Anybody.
        Everyone = "everyone",
        /// Anybody of the organisation.
        Organization = "organization",
        /// Who has the role.
        RoleIsPresenter = "roleIsPresenter",
        /// The organizer alone.
        Organizer = "organizer",
    }
}

graph_enum! {
    /// Who passes the lobby by.
    LobbyBypassScope {
        /// The organizer alone.
        Organizer = "organizer",
        /// The organisation.
        Organization = "organization",
        /// The organisation and those it trusts.
        OrganizationAndFederated = "organizationAndFederated",
        /// Anybody.
        Everyone = "everyone",
        /// Who is invited.
        Invited = "invited",
        /// The organisation without its guests.
        OrganizationExcludingGuests = "organizationExcludingGuests",
    }
}

graph_enum! {
    /// What somebody is in a meeting.
    OnlineMeetingRole {
        /// A guest of it.
        Attendee = "attendee",
        /// One who presents.
        Presenter = "presenter",
        /// One who directs a broadcast.
        Producer = "producer",
        /// One beside the organizer.
        Coorganizer = "coorganizer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_in_any_case_and_written_in_camel_case() {
        let status: OperationStatus = serde_json::from_str("\"NotStarted\"").expect("a string");
        assert_eq!(status, OperationStatus::NotStarted);
        assert_eq!(serde_json::to_string(&status).expect("a string"), "\"notStarted\"");
    }

    #[test]
    fn a_member_of_tomorrow_is_kept_as_it_was_written() {
        let state: CallState = serde_json::from_str("\"Levitating\"").expect("a string");
        assert!(!state.is_known());
        assert_eq!(serde_json::to_string(&state).expect("a string"), "\"Levitating\"");
    }

    #[test]
    fn tones_follow_the_codes_of_rfc_4733_and_the_keys_of_a_telephone() {
        assert_eq!(Tone::KNOWN.len(), 17);
        for code in 0..=16 {
            assert_eq!(Tone::from_code(code).and_then(|tone| tone.code()), Some(code));
        }
        assert_eq!(Tone::from_key("#"), Some(Tone::Pound));
        assert_eq!(Tone::from_key("7"), Some(Tone::Tone7));
        assert_eq!(Tone::from_key("tone1"), Some(Tone::Tone1));
        assert_eq!(Tone::from_key("11"), None);
    }
}
