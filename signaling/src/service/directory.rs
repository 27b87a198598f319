//! Who there is: organisations with their people, apps with the webhook of their bot,
//! and which app may do what in which organisation. Read from a file by the owner,
//! changed at run time, asked by everything that checks a permission (the names are
//! those of Microsoft's permissions reference, without its documentation's misspellings).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::graph::{IdentitySet, ParticipantInfo};
use crate::id::{AppId, TenantId, UserId};

/// What an app may do in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Permission {
    /// Call one person.
    #[serde(rename = "Calls.Initiate.All")]
    Initiate,
    /// Call several.
    #[serde(rename = "Calls.InitiateGroupCall.All", alias = "Calls.InitiateGroupCalls.All")]
    InitiateGroupCall,
    /// Join group calls and meetings.
    #[serde(rename = "Calls.JoinGroupCall.All", alias = "Calls.JoinGroupCalls.All")]
    JoinGroupCall,
    /// Join group calls and meetings as a guest.
    #[serde(
        rename = "Calls.JoinGroupCallAsGuest.All",
        alias = "Calls.JoinGroupCallsasGuest.All",
        alias = "Calls.JoinGroupCallasGuest.All"
    )]
    JoinGroupCallAsGuest,
    /// Handle media itself.
    #[serde(rename = "Calls.AccessMedia.All")]
    AccessMedia,
    /// Read meetings.
    #[serde(rename = "OnlineMeetings.Read.All")]
    OnlineMeetingsRead,
    /// Make and change meetings.
    #[serde(rename = "OnlineMeetings.ReadWrite.All")]
    OnlineMeetingsReadWrite,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 7] = [
        Self::Initiate,
        Self::InitiateGroupCall,
        Self::JoinGroupCall,
        Self::JoinGroupCallAsGuest,
        Self::AccessMedia,
        Self::OnlineMeetingsRead,
        Self::OnlineMeetingsReadWrite,
    ];

    /// Its name, as it stands in the `roles` of a token.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initiate => "Calls.Initiate.All",
            Self::InitiateGroupCall => "Calls.InitiateGroupCall.All",
            Self::JoinGroupCall => "Calls.JoinGroupCall.All",
            Self::JoinGroupCallAsGuest => "Calls.JoinGroupCallAsGuest.All",
            Self::AccessMedia => "Calls.AccessMedia.All",
            Self::OnlineMeetingsRead => "OnlineMeetings.Read.All",
            Self::OnlineMeetingsReadWrite => "OnlineMeetings.ReadWrite.All",
        }
    }

    /// Whether it is one of the permissions on calls.
    #[must_use]
    pub const fn is_about_calls(self) -> bool {
        !matches!(self, Self::OnlineMeetingsRead | Self::OnlineMeetingsReadWrite)
    }
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Usually a GUID.
    pub id: UserId,
    /// For people to read.
    pub name: String,
    /// Such as `en-US`.
    #[serde(default)]
    pub language: Option<String>,
    /// Two letters, such as `DE`.
    #[serde(default)]
    pub country: Option<String>,
}

/// What an organisation lets an app do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Which app.
    pub app: AppId,
    /// What.
    pub permissions: BTreeSet<Permission>,
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Usually a GUID.
    pub id: TenantId,
    /// For people to read.
    #[serde(default)]
    pub name: String,
    /// Its people.
    #[serde(default)]
    pub users: Vec<User>,
    /// What it lets apps do.
    #[serde(default)]
    pub consents: Vec<Consent>,
}

/// An app, and its bot if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Usually a GUID.
    pub id: AppId,
    /// For people to read.
    pub name: String,
    /// The webhook for calling: where incoming calls are announced. Without one the app
    /// has no bot that can be called.
    #[serde(default)]
    pub webhook: Option<String>,
    /// What it proves itself with at the token endpoint.
    #[serde(default)]
    pub secret: Option<String>,
}

/// Everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Directory {
    /// Organisations.
    pub tenants: Vec<Tenant>,
    /// Apps.
    pub apps: Vec<App>,
}

/// Why a directory cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Two organisations of one id.
    #[error("tenant {0} is there twice")]
    TenantTwice(TenantId),
    /// Two people of one id.
    #[error("user {0} is there twice")]
    UserTwice(UserId),
    /// Two apps of one id.
    #[error("app {0} is there twice")]
    AppTwice(AppId),
    /// An app that is consented to but not there.
    #[error("tenant {tenant} consents to app {app}, which is not there")]
    UnknownApp {
        /// The organisation.
        tenant: TenantId,
        /// The app.
        app: AppId,
    },
}

/// A directory that can be asked quickly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    users: BTreeMap<UserId, (TenantId, User)>,
    apps: BTreeMap<AppId, App>,
    consents: BTreeMap<(TenantId, AppId), BTreeSet<Permission>>,
    /// Every organisation, by its id, with the host name that its name makes.
    tenants: BTreeMap<TenantId, String>,
}

impl Index {
    /// Checks a directory and orders it.
    pub(crate) fn new(directory: Directory) -> Result<Self, DirectoryError> {
        let mut index = Self::default();
        for app in directory.apps {
            if let Some(before) = index.apps.insert(app.id.clone(), app) {
                return Err(DirectoryError::AppTwice(before.id));
            }
        }
        for tenant in directory.tenants {
            if index.tenants.insert(tenant.id.clone(), host_label(&tenant.name)).is_some() {
                return Err(DirectoryError::TenantTwice(tenant.id));
            }
            for user in tenant.users {
                let entry = (tenant.id.clone(), user);
                if let Some(before) = index.users.insert(entry.1.id.clone(), entry) {
                    return Err(DirectoryError::UserTwice(before.1.id));
                }
            }
            for consent in tenant.consents {
                if !index.apps.contains_key(&consent.app) {
                    let (tenant, app) = (tenant.id, consent.app);
                    return Err(DirectoryError::UnknownApp { tenant, app });
                }
                index.consents.insert((tenant.id.clone(), consent.app), consent.permissions);
            }
        }
        Ok(index)
    }

    pub(crate) fn user(&self, id: &UserId) -> Option<(&TenantId, &User)> {
        self.users.get(id).map(|(tenant, user)| (tenant, user))
    }

    pub(crate) fn app(&self, id: &AppId) -> Option<&App> {
        self.apps.get(id)
    }

    pub(crate) fn has_tenant(&self, id: &TenantId) -> bool {
        self.tenants.contains_key(id)
    }

    /// An organisation by any of its names: its id in any spelling, or its host name
    /// (`contoso.onmicrosoft.com`, `contoso.com`) as its display name makes it.
    pub(crate) fn tenant_named(&self, text: &str) -> Option<&TenantId> {
        if let Some((id, _)) = self.tenants.get_key_value(&TenantId::new(text)) {
            return Some(id);
        }
        let lower = text.to_ascii_lowercase();
        let label =
            lower.strip_suffix(".onmicrosoft.com").or_else(|| lower.strip_suffix(".com"))?;
        self.tenants.iter().find(|(_, own)| !own.is_empty() && *own == label).map(|(id, _)| id)
    }

    /// Where an app is at home, which nothing says: the first organisation that consents
    /// to it, or else the first there is.
    pub(crate) fn home_of(&self, app: &AppId) -> Option<&TenantId> {
        let consented = self.consents.keys().find(|(_, known)| known == app).map(|(id, _)| id);
        consented.or_else(|| self.tenants.keys().next())
    }

    /// What an organisation lets an app do, by the names of tokens.
    pub(crate) fn granted(&self, tenant: &TenantId, app: &AppId) -> Vec<&'static str> {
        let granted = self.consents.get(&(tenant.clone(), app.clone()));
        granted.into_iter().flatten().map(|permission| permission.name()).collect()
    }

    /// The only app there is, if there is but one.
    pub(crate) fn only_app(&self) -> Option<&App> {
        let mut apps = self.apps.values();
        apps.next().filter(|_| apps.next().is_none())
    }

    pub(crate) fn may(&self, tenant: &TenantId, app: &AppId, permission: Permission) -> bool {
        self.consents
            .get(&(tenant.clone(), app.clone()))
            .is_some_and(|granted| granted.contains(&permission))
    }

    /// The same in any organisation, for what belongs to none.
    pub(crate) fn may_anywhere(&self, app: &AppId, permission: Permission) -> bool {
        self.consents.iter().any(|((_, to), granted)| to == app && granted.contains(&permission))
    }

    /// The first organisation that lets an app do something.
    pub(crate) fn tenant_granting(&self, app: &AppId, permission: Permission) -> Option<TenantId> {
        let granting = self
            .consents
            .iter()
            .find(|((_, of), granted)| of == app && granted.contains(&permission));
        granting.map(|((tenant, _), _)| tenant.clone())
    }

    /// Whether the app has any of the permissions on calls: without, it does not learn
    /// who calls.
    pub(crate) fn may_know_callers(&self, tenant: &TenantId, app: &AppId) -> bool {
        self.consents
            .get(&(tenant.clone(), app.clone()))
            .is_some_and(|granted| granted.iter().any(|p| p.is_about_calls()))
    }

    /// Replaces what an organisation lets an app do.
    pub(crate) fn grant(
        &mut self,
        tenant: TenantId,
        app: AppId,
        permissions: BTreeSet<Permission>,
    ) -> Result<(), DirectoryError> {
        if !self.apps.contains_key(&app) {
            return Err(DirectoryError::UnknownApp { tenant, app });
        }
        self.consents.insert((tenant, app), permissions);
        Ok(())
    }

    /// Takes a person in, or replaces the one of that id.
    pub(crate) fn put_user(&mut self, tenant: TenantId, user: User) {
        self.users.insert(user.id.clone(), (tenant, user));
    }

    /// Forgets a person; whether there was one.
    pub(crate) fn remove_user(&mut self, id: &UserId) -> bool {
        self.users.remove(id).is_some()
    }

    /// Takes an app in, or replaces the one of that id.
    pub(crate) fn put_app(&mut self, app: App) {
        self.apps.insert(app.id.clone(), app);
    }

    /// Forgets an app, and what it was granted; whether there was one.
    pub(crate) fn remove_app(&mut self, id: &AppId) -> bool {
        self.consents.retain(|(_, app), _| app != id);
        self.apps.remove(id).is_some()
    }

    /// Everybody, in order of their ids. Organisations without people or grants are gone,
    /// and so are their names: nothing asks for them.
    pub(crate) fn everybody(&self) -> Directory {
        let mut tenants: BTreeMap<&TenantId, Tenant> = BTreeMap::new();
        let bare = |id: &TenantId| Tenant {
            id: id.clone(),
            name: String::new(),
            users: Vec::new(),
            consents: Vec::new(),
        };
        for (tenant, user) in self.users.values() {
            tenants.entry(tenant).or_insert_with(|| bare(tenant)).users.push(user.clone());
        }
        for ((tenant, app), permissions) in &self.consents {
            let consent = Consent { app: app.clone(), permissions: permissions.clone() };
            tenants.entry(tenant).or_insert_with(|| bare(tenant)).consents.push(consent);
        }
        Directory {
            tenants: tenants.into_values().collect(),
            apps: self.apps.values().cloned().collect(),
        }
    }

    /// How others see a person.
    pub(crate) fn user_info(&self, id: &UserId) -> Option<ParticipantInfo> {
        let (tenant, user) = self.user(id)?;
        Some(ParticipantInfo {
            identity: Some(IdentitySet::of_user(&user.id, &user.name, Some(tenant))),
            language_id: user.language.clone(),
            country_code: user.country.clone(),
            ..ParticipantInfo::typed()
        })
    }

    /// How others see an app.
    pub(crate) fn app_info(&self, id: &AppId) -> ParticipantInfo {
        let name = self.app(id).map_or("", |app| app.name.as_str());
        ParticipantInfo {
            identity: Some(IdentitySet::of_application(id, name)),
            ..ParticipantInfo::typed()
        }
    }
}

/// What of a display name can stand in the name of a host.
fn host_label(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str) -> App {
        App { id: AppId::new(id), name: id.into(), webhook: None, secret: None }
    }

    #[test]
    fn a_directory_with_two_of_a_kind_or_an_unknown_app_is_refused() {
        let twice = Directory { tenants: Vec::new(), apps: vec![app("a"), app("a")] };
        assert_eq!(Index::new(twice).err(), Some(DirectoryError::AppTwice("a".into())));
        let consent = Consent { app: "b".into(), permissions: BTreeSet::new() };
        let tenant = Tenant {
            id: "t".into(),
            name: String::new(),
            users: Vec::new(),
            consents: vec![consent],
        };
        let unknown = Directory { tenants: vec![tenant], apps: vec![app("a")] };
        assert!(matches!(Index::new(unknown), Err(DirectoryError::UnknownApp { .. })));
    }

    #[test]
    fn permissions_are_read_under_their_real_and_their_misprinted_names() {
        let read = |name: &str| serde_json::from_value::<Permission>(name.into()).ok();
        for permission in Permission::ALL {
            assert_eq!(read(permission.name()), Some(permission));
        }
        assert_eq!(read("Calls.JoinGroupCalls.All"), Some(Permission::JoinGroupCall));
        assert_eq!(read("Calls.Everything"), None);
    }
}
