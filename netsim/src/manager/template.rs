//! The device template that all Controllers are attached to, as far as re-pushing the active policy needs it.
//!
//! Owns its rows, and the checks of an attach request. Invariant: there is one template, and every Controller is always
//! attached to it.

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use super::body::BodyError;
use super::controllers::Controller;
use super::task::Work;

/// The id of the template.
pub(super) const ID: Uuid = uuid!("2d9a7c41-6b1e-4f0a-8c35-70d1e6b9a204");

/// How the Controllers are configured, which decides how their template is attached again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TemplateKind {
    /// By feature templates: `attachfeature`.
    #[default]
    Feature,
    /// By a text of commands: `attachcli`.
    Cli,
}

impl TemplateKind {
    /// What the task of attaching it does.
    pub(super) fn work(self) -> Work {
        match self {
            Self::Feature => Work::FeatureTemplate,
            Self::Cli => Work::CliTemplate,
        }
    }

    fn config_type(self) -> &'static str {
        match self {
            Self::Feature => "template",
            Self::Cli => "file",
        }
    }
}

/// Why a template was not attached.
#[derive(Debug, thiserror::Error)]
pub(super) enum TemplateError {
    /// The body.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Another template than that of the Controllers.
    #[error("no template has the id `{0}`")]
    NotFound(String),
    /// The template is attached in the other way.
    #[error("template {ID} has the configType `{0}`, which is not attached here")]
    OtherKind(&'static str),
    /// Something else than all Controllers is to be attached.
    #[error("deviceTemplateList: template {ID} is attached to all Controllers and nothing else: {0:?}")]
    Devices(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAttach {
    device_template_list: Vec<RawTemplate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTemplate {
    template_id: String,
    device: Vec<RawDevice>,
}

#[derive(Deserialize)]
struct RawDevice {
    #[serde(rename = "csv-deviceId")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawInput {
    template_id: String,
    device_ids: Vec<String>,
}

/// Checks that this is the id of the template.
pub(super) fn check_id(id: &str) -> Result<(), TemplateError> {
    match Uuid::parse_str(id) {
        Ok(ID) => Ok(()),
        _ => Err(TemplateError::NotFound(id.to_owned())),
    }
}

/// Checks a request to attach the template to all Controllers, made in the way of `kind`; none given, in either way.
pub(super) fn check_attach(
    body: &Value,
    template: TemplateKind,
    kind: Option<TemplateKind>,
    controllers: &[Controller],
) -> Result<(), TemplateError> {
    let raw = RawAttach::deserialize(body).map_err(BodyError::Shape)?;
    for list in &raw.device_template_list {
        check_id(&list.template_id)?;
    }
    if kind.is_some_and(|kind| kind != template) {
        return Err(TemplateError::OtherKind(template.config_type()));
    }
    let devices = raw.device_template_list.into_iter().flat_map(|list| list.device);
    check_devices(devices.map(|device| device.id).collect(), controllers)
}

/// The template, in the list of all.
pub(super) fn row(template: TemplateKind, controllers: usize, at_ms: u64) -> Value {
    json!({
        "templateId": ID,
        "templateName": "controllers",
        "templateDescription": "All Controllers",
        "deviceType": "vsmart",
        "templateClass": "vsmart",
        "configType": template.config_type(),
        "factoryDefault": false,
        "devicesAttached": controllers,
        "templateAttached": 1,
        "lastUpdatedBy": "system",
        "lastUpdatedOn": at_ms,
    })
}

/// A Controller among those that the template is attached to.
pub(super) fn attached_row(controller: &Controller) -> Value {
    json!({
        "host-name": controller.host_name,
        "deviceIP": controller.system_ip,
        "local-system-ip": controller.system_ip,
        "site-id": "0",
        "uuid": controller.uuid(),
        "personality": "vsmart",
    })
}

/// The answer to `config/input`: what the variables of the template are, for the Controllers asked for.
pub(super) fn input(body: &Value, controllers: &[Controller]) -> Result<Value, TemplateError> {
    let raw = RawInput::deserialize(body).map_err(BodyError::Shape)?;
    check_id(&raw.template_id)?;
    let asked = |id: &String| controllers.iter().find(|known| known.uuid().to_string() == *id);
    let asked: Option<Vec<_>> = raw.device_ids.iter().map(asked).collect();
    let asked = asked.ok_or(TemplateError::Devices(raw.device_ids))?;
    let rows = asked.into_iter().map(|controller| {
        json!({
            "csv-status": "complete",
            "csv-deviceId": controller.uuid(),
            "csv-deviceIP": controller.system_ip,
            "csv-host-name": controller.host_name,
            "//system/host-name": controller.host_name,
            "//system/system-ip": controller.system_ip,
            "//system/site-id": "0",
        })
    });
    Ok(json!({ "data": rows.collect::<Vec<_>>() }))
}

fn check_devices(mut given: Vec<String>, controllers: &[Controller]) -> Result<(), TemplateError> {
    let mut all: Vec<String> = controllers
        .iter()
        .map(|controller| controller.uuid().to_string())
        .collect();
    all.sort();
    given.sort();
    match given == all {
        true => Ok(()),
        false => Err(TemplateError::Devices(given)),
    }
}
