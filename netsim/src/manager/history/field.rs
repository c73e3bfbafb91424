//! The fields of a row of statistics.
//!
//! Owns their names and types. A row is anything that has a value for each: queries and aggregations know no more of it.

use std::cmp::Ordering;

use serde_json::Value;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::manager) enum Kind {
    /// Text.
    Text,
    /// A number.
    Number,
    /// A time, in milliseconds since the Unix epoch.
    Date,
}

impl Kind {
    /// What the product calls it.
    pub(in crate::manager) fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Number => "number",
            Self::Date => "date",
        }
    }
}

macro_rules! fields {
    ($($field:ident $name:literal $kind:ident,)*) => {
        /// A field of a row of statistics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(in crate::manager) enum Field {
            $(#[doc = $name] $field,)*
        }

        impl Field {
            /// All of them.
            pub(in crate::manager) const ALL: &[Self] = &[$(Self::$field,)*];

            /// Its name, in queries and rows.
            pub(in crate::manager) fn name(self) -> &'static str {
                match self { $(Self::$field => $name,)* }
            }

            /// What it holds.
            pub(in crate::manager) fn kind(self) -> Kind {
                match self { $(Self::$field => Kind::$kind,)* }
            }
        }
    };
}

fields! {
    EntryTime "entry_time" Date,
    CycleTime "statcycletime" Date,
    VdeviceName "vdevice_name" Text,
    HostName "host_name" Text,
    DeviceModel "device_model" Text,
    LocalSystemIp "local_system_ip" Text,
    RemoteSystemIp "remote_system_ip" Text,
    LocalColor "local_color" Text,
    RemoteColor "remote_color" Text,
    TunnelColor "tunnel_color" Text,
    Name "name" Text,
    SrcIp "src_ip" Text,
    DstIp "dst_ip" Text,
    SrcPort "src_port" Number,
    DstPort "dst_port" Number,
    Proto "proto" Text,
    Total "total" Number,
    Loss "loss" Number,
    LossPercentage "loss_percentage" Number,
    Latency "latency" Number,
    Jitter "jitter" Number,
    VqoeScore "vqoe_score" Number,
    TxPkts "tx_pkts" Number,
    RxPkts "rx_pkts" Number,
    TxOctets "tx_octets" Number,
    RxOctets "rx_octets" Number,
    FecTx "fec_tx" Number,
    FecRx "fec_rx" Number,
    FecRe "fec_re" Number,
    SlaClassList "sla_class_list" Text,
    SlaClassNames "sla_class_names" Text,
    AppProbeClass "app_probe_class" Text,
    State "state" Text,
    SiteId "siteid" Number,
    Tenant "tenant" Text,
    VmanageSystemIp "vmanage_system_ip" Text,
}

impl Field {
    /// The field of a name.
    pub(in crate::manager) fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}

/// What a row has in a field; texts are ordered by their octets, numbers by their value.
#[derive(Debug, Clone, Copy)]
pub(in crate::manager) enum Datum<'a> {
    /// Of a [`Kind::Text`].
    Text(&'a str),
    /// Of the others.
    Number(f64),
}

impl Datum<'_> {
    /// In an answer: whole numbers without a fraction.
    pub(in crate::manager) fn json(self) -> Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Number(number) => number_json(number),
        }
    }
}

impl Ord for Datum<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
        }
    }
}

impl PartialOrd for Datum<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Datum<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Datum<'_> {}

/// A number in an answer: without a fraction if it is whole.
pub(in crate::manager) fn number_json(number: f64) -> Value {
    /// Below this every whole number has a double of its own.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the range")]
    if number.fract() == 0.0 && number.abs() < WHOLE_MAX {
        return (number as i64).into();
    }
    number.into()
}

/// Anything with a value for each field.
pub(in crate::manager) trait Record {
    /// The value.
    fn datum(&self, field: Field) -> Datum<'_>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_found_by_its_name() {
        for field in Field::ALL {
            assert_eq!(Field::of(field.name()), Some(*field));
        }
        assert_eq!(Field::of("Loss"), None);
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        let texts = [2.0, -2.0, 0.25, 1e300].map(|number| number_json(number).to_string());
        assert_eq!(texts, ["2", "-2", "0.25", "1e+300"]);
    }
}
