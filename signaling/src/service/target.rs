//! Where a call can go: to a person, to a bot, to a person's voicemail. Telephone numbers
//! are refused as the real platform refuses them of apps without an application instance.

use super::Service;
use super::reply::ApiError;
use crate::graph::{EndpointType, IdentitySet, InvitationParticipantInfo, Number};
use crate::id::{AppId, TenantId, UserId};

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A person's telephone.
    User(UserId),
    /// A bot's webhook.
    App(AppId),
    /// A person's box for messages.
    Voicemail(UserId),
}

impl Service {
    /// The target that a request names in `property`; it is there and can be called.
    pub(super) fn target_of(
        &self,
        info: &InvitationParticipantInfo,
        property: &str,
    ) -> Result<Target, ApiError> {
        let identity = info.identity.as_ref();
        let identity =
            identity.ok_or_else(|| ApiError::missing(&format!("{property}/identity")))?;
        if let Some(endpoint) = info.endpoint_type.as_ref().filter(|kind| !kind.is_known()) {
            return Err(ApiError::bad_request(format!("'{endpoint}' is no endpointType.")));
        }
        if identity.phone.is_some() {
            return Err(ApiError::no_telephone());
        }
        let voicemail = info.endpoint_type == Some(EndpointType::Voicemail);
        if let Some(user) = identity.user_id() {
            if self.directory.user(&user).is_none() {
                return Err(ApiError::new(404, "NotFound", format!("User {user} not found.")));
            }
            return Ok(if voicemail { Target::Voicemail(user) } else { Target::User(user) });
        }
        let Some(app) = identity.application_id() else {
            return Err(ApiError::missing(&format!("{property}/identity/user")));
        };
        if voicemail {
            return Err(ApiError::bad_request("Applications have no voicemail."));
        }
        match self.webhook_of(&app) {
            Ok(_) => Ok(Target::App(app)),
            Err(reason) => Err(ApiError::new(404, "NotFound", format!("{reason}."))),
        }
    }

    /// A person of another organisation cannot be reached from this one.
    pub(super) fn check_same_tenant(
        &self,
        target: &Target,
        tenant: &TenantId,
    ) -> Result<(), ApiError> {
        match target {
            Target::User(user) | Target::Voicemail(user) => match self.directory.user(user) {
                Some((of, _)) if of == tenant => Ok(()),
                _ => Err(ApiError::tenant_mismatch()),
            },
            Target::App(_) => Ok(()),
        }
    }

    /// How others see a target.
    pub(super) fn identity_of(&self, target: &Target) -> Option<IdentitySet> {
        match target {
            Target::User(user) | Target::Voicemail(user) => {
                self.directory.user_info(user).and_then(|info| info.identity)
            }
            Target::App(app) => self.directory.app_info(app).identity,
        }
    }
}

/// A number within its documented range; `None` where there is none.
pub(super) fn within(
    property: &str,
    number: Option<Number>,
    range: core::ops::RangeInclusive<i64>,
) -> Result<Option<u64>, ApiError> {
    match number {
        None => Ok(None),
        Some(Number(number)) if range.contains(&number) => Ok(Some(number.unsigned_abs())),
        Some(Number(number)) => Err(ApiError::bad_request(format!(
            "{property} is {number}; it must be {} to {}.",
            range.start(),
            range.end()
        ))),
    }
}
