//! Who somebody is: identities and sets of them. The metadata declares most members on
//! `communicationsIdentitySet`, every example types the object `identitySet`: one type
//! here, with the members of both.

use super::EndpointType;
use super::shape::graph_struct;
use crate::id::{AppId, TenantId, UserId};

graph_struct! {
    /// A user, an application, a telephone, and so on.
    Identity("identity") {
        /// Usually a GUID; E.164 for telephones.
        id: Option<String>,
        /// For people to read.
        display_name: Option<String>,
        /// The organisation it belongs to.
        tenant_id: Option<String>,
    }
}

graph_struct! {
    /// One party under the names by which it is known.
    IdentitySet("identitySet") {
        /// A person.
        user: Option<Identity>,
        /// A person without an account.
        guest: Option<Identity>,
        /// A telephone.
        phone: Option<Identity>,
        /// Somebody whom the app may not know.
        encrypted: Option<Identity>,
        /// Somebody of an on-premises directory.
        on_premises: Option<Identity>,
        /// A resource account of an application.
        application_instance: Option<Identity>,
        /// An application.
        application: Option<Identity>,
        /// A user of Azure Communication Services.
        azure_communication_services_user: Option<Identity>,
        /// What the other side claims to be.
        asserted_identity: Option<Identity>,
        /// A device.
        device: Option<Identity>,
    }
}

impl IdentitySet {
    /// A person.
    #[must_use]
    pub fn of_user(id: &UserId, display_name: &str, tenant: Option<&TenantId>) -> Self {
        let identity = Identity {
            id: Some(id.to_string()),
            display_name: Some(display_name.to_owned()),
            tenant_id: tenant.map(ToString::to_string),
            ..Identity::typed()
        };
        Self { user: Some(identity), ..Self::typed() }
    }

    /// An application.
    #[must_use]
    pub fn of_application(id: &AppId, display_name: &str) -> Self {
        let identity = Identity {
            id: Some(id.to_string()),
            display_name: Some(display_name.to_owned()),
            ..Identity::typed()
        };
        Self { application: Some(identity), ..Self::typed() }
    }

    /// A person without an account, known by a name.
    #[must_use]
    pub fn of_guest(id: &str, display_name: &str) -> Self {
        let identity = Identity {
            id: Some(id.to_owned()),
            display_name: Some(display_name.to_owned()),
            ..Identity::typed()
        };
        Self { guest: Some(identity), ..Self::typed() }
    }

    /// Somebody whom the app may not know.
    #[must_use]
    pub fn of_encrypted(id: &str) -> Self {
        let identity = Identity { id: Some(id.to_owned()), ..Identity::typed() };
        Self { encrypted: Some(identity), ..Self::typed() }
    }

    /// The identity that stands for the party, in the order in which Microsoft's SDK looks.
    #[must_use]
    pub fn primary(&self) -> Option<&Identity> {
        [
            &self.user,
            &self.guest,
            &self.phone,
            &self.encrypted,
            &self.on_premises,
            &self.application_instance,
            &self.application,
        ]
        .into_iter()
        .find_map(Option::as_ref)
    }

    /// The id of the user, if it names one.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        Some(UserId::new(self.user.as_ref()?.id.as_deref()?))
    }

    /// The id of the application, if it names one and no person or telephone.
    #[must_use]
    pub fn application_id(&self) -> Option<AppId> {
        Some(AppId::new(self.application.as_ref()?.id.as_deref()?))
    }
}

graph_struct! {
    /// A party of a call and where it is.
    ParticipantInfo("participantInfo") {
        /// Who.
        identity: Option<IdentitySet>,
        /// ISO 3166-1 alpha-2.
        country_code: Option<String>,
        /// What stands at its end.
        endpoint_type: Option<EndpointType>,
        /// Where, as the platform names it.
        region: Option<String>,
        /// Its language.
        language_id: Option<String>,
        /// Its leg.
        participant_id: Option<String>,
    }
}

graph_struct! {
    /// A party to be called.
    InvitationParticipantInfo("invitationParticipantInfo") {
        /// Who.
        identity: Option<IdentitySet>,
        /// What stands at its end.
        endpoint_type: Option<EndpointType>,
        /// The call that this one takes the place of.
        replaces_call_id: Option<String>,
        /// Its leg.
        participant_id: Option<String>,
        /// Not shown in rosters.
        hidden: Option<bool>,
        /// Not heard by default.
        remove_from_default_audio_routing_group: Option<bool>,
    }
}
