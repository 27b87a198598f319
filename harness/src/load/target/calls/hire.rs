//! Who and what a load brings into a service, and takes away again: an app with our bot, somebody who
//! calls it, and what is said.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Platform, PlatformError};
use crate::web;

/// A larger file is not read: no service takes it.
const FILE_BYTES_MAX: u64 = 1 << 28;

impl Platform {
    /// Brings along what people say, if that is a file; otherwise the service must have it.
    ///
    /// # Errors
    /// There is no such file and no such recording, or the service does not take it.
    pub async fn bring(&mut self) -> Result<(), PlatformError> {
        let Some(play) = &self.manner.play else { return Ok(()) };
        let path = Path::new(play);
        let refuse = |why: String| PlatformError::Bring(play.clone(), why);
        let (Some(name), true) = (path.file_name(), path.is_file()) else {
            let known = self.control.ask(Method::GET, "/rig/recordings", &Value::Null).await;
            let known = known.map_err(refuse)?;
            let mut known = known.as_array().into_iter().flatten();
            return match known.any(|one| one["id"] == **play) {
                true => Ok(()),
                false => Err(refuse("no file, and no recording that the service has".into())),
            };
        };
        let is_small = path.metadata().is_ok_and(|file| file.len() <= FILE_BYTES_MAX);
        if !is_small {
            return Err(refuse(format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        let bytes = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
        // A name that is a path of a URL as it is.
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let name: String = name.to_string_lossy().chars().map(plain).collect();
        let request = self.control.request(Method::PUT, &format!("/rig/recordings/load/{name}"));
        let brought = self.control.answered("bringing it along", request.body(bytes)).await;
        let id = brought.map_err(refuse)?["id"].as_str().map(ToOwned::to_owned);
        self.manner.play = id;
        Ok(())
    }

    /// Takes an app with our bot and a person who calls it into the service.
    ///
    /// # Errors
    /// What the service said.
    pub async fn hire(&mut self) -> Result<(), String> {
        let control = &self.control;
        let directory = control.ask(Method::GET, "/rig/directory", &Value::Null).await?;
        let tenant = directory["tenants"][0]["id"].as_str();
        let tenant = tenant.ok_or("it has no organisation with anybody in it")?.to_owned();
        let (app, person, secret) = (web::guid(), web::guid(), web::guid());
        let bot = json!({
            "name": "load", "webhook": format!("http://{}/", self.bot), "secret": secret,
        });
        control.ask(Method::PUT, &format!("/rig/apps/{app}"), &bot).await?;
        let who = json!({ "name": "load", "tenant": tenant });
        control.ask(Method::PUT, &format!("/rig/users/{person}"), &who).await?;
        self.manner.token = self.token(&tenant, &app, &secret).await;
        (self.app, self.hired) = (Some(app), Some(person));
        Ok(())
    }

    /// The bot's token: its name, where the service asks for none.
    async fn token(&self, tenant: &str, app: &str, secret: &str) -> String {
        // Ids and secrets of ours are made of letters, digits and hyphens.
        let form = format!(
            "grant_type=client_credentials&client_id={app}&client_secret={secret}\
             &scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        );
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.control.base);
        let token = async {
            let request = self.control.client.post(url).body(form);
            let request = request.header("Content-Type", "application/x-www-form-urlencoded");
            let answer = request.send().await.ok()?;
            let body: Value = answer.json().await.ok()?;
            body["access_token"].as_str().map(ToOwned::to_owned)
        };
        token.await.unwrap_or_else(|| app.to_owned())
    }

    /// Whoever was taken in leaves.
    pub async fn dismiss(&self) {
        let (Some(app), Some(person)) = (&self.app, &self.hired) else { return };
        for path in [format!("/rig/users/{person}"), format!("/rig/apps/{app}")] {
            if let Err(why) = self.control.ask(Method::DELETE, &path, &Value::Null).await {
                tracing::warn!(why, "the service keeps what was taken in for a load");
            }
        }
    }
}
