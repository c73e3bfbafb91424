//! Reading `Accept`: which representation and format the client wants.

use crate::status::{Reason, Status};
use crate::table::IncludeObject;

/// The media types of bodies, as upstream names them.
pub(super) const MEDIA_TYPES: [&str; 3] = ["application/json", YAML, PROTOBUF];
pub(super) const YAML: &str = "application/yaml";
/// Which is not written here.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The form an object is answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Representation {
    Object,
    Table(IncludeObject),
    Metadata,
}

/// The form a discovery root is answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiscoveryForm {
    Legacy,
    Aggregated,
}

/// One element of `Accept` that JSON can satisfy.
#[derive(Debug, Default, PartialEq, Eq)]
struct JsonRange<'a> {
    transform: Option<&'a str>,
    group: &'a str,
    version: &'a str,
}

/// The first representation in the header that is served.
pub(super) fn representation(accept: Option<&str>, include: IncludeObject) -> Result<Representation, Status> {
    let served = |range: JsonRange<'_>| match (range.transform, range.group, range.version) {
        (None, ..) => Some(Representation::Object),
        (Some("Table"), "meta.k8s.io", "v1") => Some(Representation::Table(include)),
        (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), "meta.k8s.io", "v1") => {
            Some(Representation::Metadata)
        }
        _ => None,
    };
    json_ranges(accept)
        .find_map(served)
        .ok_or_else(|| not_acceptable(accept))
}

/// Refuses a list to a client that takes the metadata of one object alone; `kind` is the list's.
pub(super) fn refuse_list(accept: Option<&str>, kind: &str) -> Result<(), Status> {
    let mut transforms = json_ranges(accept).map(|range| range.transform);
    if transforms.next() != Some(Some("PartialObjectMetadata")) || transforms.next().is_some() {
        return Ok(());
    }
    let message = format!("you requested PartialObjectMetadata, but the requested object is a list ({kind})");
    Err(Status::new(Reason::NotAcceptable, message))
}

/// Whether the answer is wanted as YAML: it is named, and JSON is not named before it.
pub(super) fn wants_yaml(accept: Option<&str>) -> bool {
    let mut ranges = accept.unwrap_or_default().split(',');
    ranges.find_map(|range| media_type_of(range).filter(|name| *name != PROTOBUF)) == Some(YAML)
}

pub(super) fn discovery_form(accept: Option<&str>) -> Result<DiscoveryForm, Status> {
    let served = |range: JsonRange<'_>| match (range.transform, range.group, range.version) {
        (None, ..) => Some(DiscoveryForm::Legacy),
        (Some("APIGroupDiscoveryList"), "apidiscovery.k8s.io", "v2") => Some(DiscoveryForm::Aggregated),
        _ => None,
    };
    json_ranges(accept)
        .find_map(served)
        .ok_or_else(|| not_acceptable(accept))
}

/// A client that says nothing takes JSON (kube-rs on plain requests).
fn json_ranges(accept: Option<&str>) -> impl Iterator<Item = JsonRange<'_>> {
    let header = accept.filter(|header| !header.trim().is_empty()).unwrap_or("*/*");
    header.split(',').filter_map(|range| {
        media_type_of(range).filter(|name| *name != PROTOBUF)?;
        let parts = range.split(';').skip(1).map(str::trim);
        let mut parsed = JsonRange::default();
        for (key, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            match key {
                "as" => parsed.transform = Some(value),
                "g" => parsed.group = value,
                "v" => parsed.version = value,
                _ => {}
            }
        }
        Some(parsed)
    })
}

/// The media type of one element of `Accept`, if upstream knows it.
fn media_type_of(range: &str) -> Option<&str> {
    let name = range.split(';').next().unwrap_or_default().trim();
    let known = MEDIA_TYPES.contains(&name) || matches!(name, "application/*" | "*/*");
    known.then_some(name)
}

fn not_acceptable(accept: Option<&str>) -> Status {
    let accepted = MEDIA_TYPES.join(", ");
    if accept
        .unwrap_or_default()
        .split(',')
        .any(|range| media_type_of(range).is_some())
    {
        let message = format!("only the following media types are accepted: {accepted}");
        return Status::new(Reason::NotAcceptable, message);
    }
    let message = format!(
        "406: Not Acceptable\n\nAvailable representations: {accepted}, application/json;stream=watch, \
         application/vnd.kubernetes.protobuf;stream=watch"
    );
    Status::undetailed(Reason::NotAcceptable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: Option<&str>, expected: Option<Representation>) {
        assert_eq!(
            representation(accept, IncludeObject::Metadata).ok(),
            expected,
            "{accept:?}"
        );
    }

    #[test]
    fn the_first_served_representation_wins() {
        let table = Representation::Table(IncludeObject::Metadata);
        check(None, Some(Representation::Object));
        check(Some("*/*"), Some(Representation::Object));
        check(
            Some("application/vnd.kubernetes.protobuf, */*"),
            Some(Representation::Object),
        );
        check(
            Some("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            Some(table),
        );
        check(
            Some("application/json; g=meta.k8s.io; as=Table; v=v1"),
            Some(table),
        );
        check(
            Some("application/json;as=Table;v=v9;g=meta.k8s.io,application/json"),
            Some(Representation::Object),
        );
        check(
            Some("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
            Some(Representation::Metadata),
        );
        check(Some("application/json;as=Table;v=v9;g=meta.k8s.io"), None);
        check(Some("application/vnd.kubernetes.protobuf"), None);
    }

    #[test]
    fn discovery_is_aggregated_only_for_those_who_ask() {
        let asked = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert_eq!(discovery_form(Some(asked)).ok(), Some(DiscoveryForm::Aggregated));
        assert_eq!(
            discovery_form(Some("application/json")).ok(),
            Some(DiscoveryForm::Legacy)
        );
    }
}
