//! The SteeringPolicy resource, and its translation to and from intents.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::core::{
    Action, Color, Encryption, Intent, IntentError, Mode, Place, PortKey, Settings, Sla, Tunnel, color,
    fallback, word,
};

/// What a Service is steered by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "sdwan.pathproof.dev",
    version = "v1alpha1",
    kind = "SteeringPolicy",
    plural = "steeringpolicies",
    shortname = "steer",
    category = "sdwan",
    namespaced,
    status = "SteeringPolicyStatus",
    derive = "PartialEq",
    doc = "Which SD-WAN tunnels the traffic of a Service takes.",
    printcolumn = r#"{"name":"Service","type":"string","jsonPath":".spec.serviceRef.name"}"#,
    printcolumn = r#"{"name":"Tunnel","type":"string","jsonPath":".status.tunnel"}"#,
    printcolumn = r#"{"name":"Endpoints","type":"integer","jsonPath":".status.endpoints"}"#,
    printcolumn = r#"{"name":"Programmed","type":"string","jsonPath":".status.conditions[?(@.type==\"Programmed\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Programmed\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[x_kube(
    validation = Rule::new("self.serviceRef == oldSelf.serviceRef").message("serviceRef cannot be changed"),
    validation = Rule::new(
        "!has(self.fallback) || (has(self.tunnel) && self.tunnel != 'none' && !(self.tunnel in self.fallback))"
    ).message("fallback needs a tunnel, and has to be other colors"),
    validation = Rule::new(
        "has(self.tunnel) || has(self.sla) || has(self.ports) || (has(self.action) && self.action != 'allow')"
    ).message("one of tunnel, sla, ports, or action inspect or drop is needed")
)]
#[serde(rename_all = "camelCase")]
pub struct SteeringPolicySpec {
    /// The Service, in the same namespace.
    pub service_ref: ServiceName,
    /// What holds for all ports.
    #[serde(flatten)]
    pub all: Steering,
    /// The tenant whose service VPN the endpoints are in; without, it is that of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What holds for single ports instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["port".into()]))]
    #[schemars(length(max = 100))]
    pub ports: Vec<PortSettings>,
}

/// How traffic is steered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Steering {
    /// The color of the tunnel, or `none`: no steering, whatever the namespace says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_tunnel")]
    pub tunnel: Option<String>,
    /// While no tunnel can be had: `strict` drops (default), `preferred` takes any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_mode")]
    pub mode: Option<String>,
    /// Up to two other colors, tried in order while the tunnel is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_fallback")]
    pub fallback: Option<Vec<String>>,
    /// What the tunnel has to keep; the first of tunnel and fallback that does is taken, or any if no tunnel is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<SlaBounds>,
    /// `required` or `any` (default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_encryption")]
    pub encryption: Option<String>,
    /// `allow` (default), `inspect` or `drop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_action")]
    pub action: Option<String>,
}

/// The name of a Service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceName {
    /// The name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// Bounds of an SLA class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.latency) || has(self.loss) || has(self.jitter)")
    .message("one of latency, loss and jitter is needed"))]
#[serde(rename_all = "camelCase")]
pub struct SlaBounds {
    /// The highest latency, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub latency: Option<u16>,
    /// The highest loss, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub loss: Option<u8>,
    /// The highest jitter, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub jitter: Option<u16>,
}

/// What holds for one port; what is not said is as for all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortSettings {
    /// The name or number of a port of the Service.
    #[schemars(length(min = 1, max = 63))]
    pub port: String,
    /// What holds for it.
    #[serde(flatten)]
    pub steering: Steering,
}

/// What became of a SteeringPolicy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SteeringPolicyStatus {
    /// The generation that the rest is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, Programmed and Degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The color that the traffic takes, by pin or by choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// How many endpoints are steered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<u32>,
    /// When the fabric last took a change of this, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_programmed: Option<String>,
}

impl SteeringPolicySpec {
    /// What is asked.
    ///
    /// # Errors
    /// [`IntentError`] if a value is unknown, or out of its range.
    pub fn intent(&self) -> Result<Intent, IntentError> {
        let ports = self.ports.iter().map(|port| {
            let key: PortKey = port.port.parse().unwrap_or_else(|never| match never {});
            let path = format!("spec.ports[{key}]");
            Ok((key, port.steering.read(&path)?))
        });
        Ok(Intent {
            all: self.all.read("spec")?,
            tenant: self.tenant.clone(),
            ports: ports.collect::<Result<_, _>>()?,
        })
    }

    /// The resource that asks the same for a Service.
    #[must_use]
    pub fn of(service: &str, intent: &Intent) -> Self {
        let service_ref = ServiceName {
            name: service.to_owned(),
        };
        let ports = intent
            .ports
            .iter()
            .map(|(key, settings)| PortSettings {
                port: key.to_string(),
                steering: Steering::of(settings),
            })
            .collect();
        Self {
            service_ref,
            all: Steering::of(&intent.all),
            tenant: intent.tenant.clone(),
            ports,
        }
    }
}

impl Steering {
    fn of(settings: &Settings) -> Self {
        Self {
            tunnel: settings.tunnel.map(tunnel_word),
            mode: settings.mode.map(|mode| mode.as_str().to_owned()),
            fallback: settings.fallback.as_deref().map(names),
            sla: settings.sla.map(SlaBounds::from),
            encryption: settings.encryption.map(|word| word.as_str().to_owned()),
            action: settings.action.map(|word| word.as_str().to_owned()),
        }
    }

    fn read(&self, path: &str) -> Result<Settings, IntentError> {
        let place = |field: &str| Place::Field(format!("{path}.{field}"));
        let tunnel = |name: &String| match name.as_str() {
            "none" => Ok(Tunnel::None),
            name => color(name, &place("tunnel")).map(Tunnel::Color),
        };
        let colors = |names: &Vec<String>| {
            let colors = names.iter().map(|name| color(name, &place("fallback")));
            fallback(colors.collect::<Result<_, _>>()?, place("fallback"))
        };
        let bounds = |bounds: SlaBounds| {
            Sla::new(bounds.latency, bounds.loss, bounds.jitter).map_err(|error| {
                IntentError::UnacceptableSla {
                    place: place("sla"),
                    error,
                }
            })
        };
        let mode = |text: &String| word(Mode::from_word(text), text, place("mode"), Mode::ACCEPTED);
        let encryption = |text: &String| {
            let known = Encryption::from_word(text);
            word(known, text, place("encryption"), Encryption::ACCEPTED)
        };
        let action = |text: &String| word(Action::from_word(text), text, place("action"), Action::ACCEPTED);
        Ok(Settings {
            tunnel: self.tunnel.as_ref().map(tunnel).transpose()?,
            mode: self.mode.as_ref().map(mode).transpose()?,
            fallback: self.fallback.as_ref().map(colors).transpose()?,
            sla: self.sla.map(bounds).transpose()?,
            encryption: self.encryption.as_ref().map(encryption).transpose()?,
            action: self.action.as_ref().map(action).transpose()?,
        })
    }
}

impl From<Sla> for SlaBounds {
    fn from(sla: Sla) -> Self {
        Self {
            latency: sla.latency_ms(),
            loss: sla.loss_percent(),
            jitter: sla.jitter_ms(),
        }
    }
}

fn tunnel_word(tunnel: Tunnel) -> String {
    match tunnel {
        Tunnel::Color(color) => color.to_string(),
        Tunnel::None => "none".to_owned(),
    }
}

fn names(colors: &[Color]) -> Vec<String> {
    colors.iter().map(ToString::to_string).collect()
}

/// Text that is one of some words, or left out.
fn words(words: impl IntoIterator<Item = &'static str>) -> Schema {
    let words: Vec<_> = words.into_iter().collect();
    json_schema!({ "type": "string", "enum": words })
}

fn colors() -> impl Iterator<Item = &'static str> {
    Color::all().map(Color::as_str).chain(["bizinternet"])
}

fn optional_tunnel(_: &mut SchemaGenerator) -> Schema {
    words(colors().chain(["none"]))
}

fn optional_mode(_: &mut SchemaGenerator) -> Schema {
    words(["strict", "preferred"])
}

fn optional_encryption(_: &mut SchemaGenerator) -> Schema {
    words(["required", "any"])
}

fn optional_action(_: &mut SchemaGenerator) -> Schema {
    words(["allow", "inspect", "drop"])
}

fn optional_fallback(_: &mut SchemaGenerator) -> Schema {
    let colors: Vec<_> = colors().collect();
    json_schema!({
        "type": "array",

        "items": { "type": "string", "enum": colors },
        "minItems": 1,
        "maxItems": 2,
        "x-kubernetes-list-type": "atomic",
    })
}
