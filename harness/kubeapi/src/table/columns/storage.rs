//! Volumes, claims and their classes.

use serde_json::{Value, json};

use super::{AGE, Column, NAME};
use crate::object::{self, items, text};

pub(super) const VOLUME: &[Column] = &[
    NAME,
    Column::new("Capacity", |volume| json!(text(volume, "/spec/capacity/storage"))),
    Column::new("Access Modes", |volume| {
        json!(access_modes(volume, "/spec/accessModes"))
    }),
    Column::new("Reclaim Policy", |volume| {
        json!(text(volume, "/spec/persistentVolumeReclaimPolicy"))
    }),
    Column::new("Status", |volume| json!(phase(volume))),
    Column::new("Claim", |volume| {
        let claim = &volume["spec"]["claimRef"];
        json!(match claim {
            Value::Null => String::new(),
            claim => format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")),
        })
    }),
    Column::new("StorageClass", |volume| {
        json!(text(volume, "/spec/storageClassName"))
    }),
    ATTRIBUTES_CLASS,
    Column::new("Reason", |volume| json!(text(volume, "/status/reason"))),
    AGE,
    VOLUME_MODE,
];

pub(super) const CLAIM: &[Column] = &[
    NAME,
    Column::new("Status", |claim| json!(phase(claim))),
    Column::new("Volume", |claim| json!(text(claim, "/spec/volumeName"))),
    // Of a claim without a volume, neither is known.
    Column::new("Capacity", |claim| json!(text(claim, "/status/capacity/storage"))),
    Column::new("Access Modes", |claim| {
        json!(access_modes(claim, "/status/accessModes"))
    }),
    Column::new("StorageClass", |claim| {
        json!(text(claim, "/spec/storageClassName"))
    }),
    ATTRIBUTES_CLASS,
    AGE,
    VOLUME_MODE,
];

const ATTRIBUTES_CLASS: Column = Column::new("VolumeAttributesClass", |object| {
    json!(match text(object, "/spec/volumeAttributesClassName") {
        "" => "<unset>",
        class => class,
    })
});

const VOLUME_MODE: Column =
    Column::new("VolumeMode", |object| json!(text(object, "/spec/volumeMode"))).wide();

fn phase(object: &Value) -> &str {
    if object::is_terminating(object) {
        return "Terminating";
    }
    text(object, "/status/phase")
}

fn access_modes(object: &Value, pointer: &str) -> String {
    let modes = items(object, pointer).iter().filter_map(Value::as_str);
    let short = modes.map(|mode| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    });
    short.collect::<Vec<_>>().join(",")
}

pub(super) const STORAGE_CLASS: &[Column] = &[
    Column {
        cell: |class| {
            let name = object::name(class);
            let is_default =
                class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true";
            json!(format!("{name}{}", if is_default { " (default)" } else { "" }))
        },
        ..NAME
    },
    Column::new("Provisioner", |class| json!(text(class, "/provisioner"))),
    Column::new("ReclaimPolicy", |class| json!(text(class, "/reclaimPolicy"))),
    Column::new("VolumeBindingMode", |class| {
        json!(text(class, "/volumeBindingMode"))
    }),
    Column::new("AllowVolumeExpansion", |class| {
        json!(class["allowVolumeExpansion"] == true)
    }),
    AGE,
];
