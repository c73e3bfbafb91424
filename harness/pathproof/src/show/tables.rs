//! A lab as tables.
//!
//! Owns their columns and how values read in them. Numbers are right-aligned, like in reports.

use std::fmt::Write as _;
use std::time::Duration;

use netsim::manager::state::{MatchState, SequenceState, SiteState, TunnelState};
use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows, Segment};
use tabled::settings::{Alignment, Padding, Style};

use super::Shown;

/// So many prefixes or ports are written out.
const NAMED_MAX: usize = 2;

/// Sites, tunnels and policies.
#[must_use]
pub fn tables(shown: &Shown) -> String {
    let sites = &shown.sites;
    let mut text = format!("lab {}\n", shown.folder.display());
    section(&mut text, "sites", sites_table(shown));
    section(&mut text, "tunnels", tunnels_table(sites));
    if sites.iter().all(|site| site.sequences.is_empty()) {
        text += "\nno policy is in force\n";
    } else {
        section(&mut text, "policies in force", policies_table(sites));
    }
    text
}

struct Table {
    rows: Builder,
    /// The first column of numbers.
    numbers: usize,
}

impl Table {
    fn new(titles: &[&str], numbers: usize) -> Self {
        let mut rows = Builder::new();
        rows.push_record(titles.iter().copied());
        Self { rows, numbers }
    }

    fn add(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push_record(row);
    }
}

fn section(text: &mut String, title: &str, table: Table) {
    let mut rendered = table.rows.build();
    rendered
        .with(Style::empty())
        .modify(Segment::all(), Padding::new(2, 0, 0, 0))
        .modify(Columns::new(table.numbers..), Alignment::right())
        .modify(Rows::first(), Padding::new(2, 0, 0, 0));
    write!(text, "\n{title}\n").expect("a String takes everything");
    for line in rendered.to_string().lines() {
        *text += line.trim_end();
        text.push('\n');
    }
}

fn sites_table(shown: &Shown) -> Table {
    let titles = [
        "site",
        "edge",
        "system IP",
        "colors",
        "Manager says",
        "sessions up",
    ];
    let mut table = Table::new(&titles, 5);
    for site in &shown.sites {
        let system_ip = site.system_ip.to_string();
        let device = shown.devices.iter().find(|device| device.system_ip == system_ip);
        let up = device.and_then(|device| device.sessions_up);
        table.add([
            site.site_id.to_string(),
            site.host_name.clone(),
            system_ip,
            site.colors.join(" "),
            device.map_or_else(|| "-".to_owned(), |device| device.reachability.clone()),
            format!("{} of {}", up.unwrap_or(0), site.tunnels.len()),
        ]);
    }
    table
}

fn tunnels_table(sites: &[SiteState]) -> Table {
    let titles = [
        "from",
        "to",
        "color",
        "encapsulation",
        "state",
        "for",
        "transitions",
        "loss %",
        "latency ms",
        "p50",
        "p99",
        "jitter ms",
        "SLA met",
        "sent",
        "received",
    ];
    let mut table = Table::new(&titles, 5);
    for site in sites {
        for tunnel in &site.tunnels {
            let remote = sites.iter().find(|other| other.site_id == tunnel.remote_site_id);
            let remote = remote.map_or_else(|| "-".to_owned(), |other| other.host_name.clone());
            table.add(
                [site.host_name.clone(), remote]
                    .into_iter()
                    .chain(measured(tunnel)),
            );
        }
    }
    table
}

fn measured(tunnel: &TunnelState) -> [String; 13] {
    let millis = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    [
        tunnel.color.clone(),
        tunnel.encapsulation.clone(),
        tunnel.state.clone(),
        format!(
            "{:.1} s",
            Duration::from_millis(tunnel.state_for_ms).as_secs_f64()
        ),
        tunnel.transitions.to_string(),
        format!("{:.0}", tunnel.loss_percent),
        millis(tunnel.latency_ms),
        millis(tunnel.latency_p50_ms),
        millis(tunnel.latency_p99_ms),
        millis(tunnel.jitter_ms),
        if tunnel.classes_met.is_empty() {
            "-".to_owned()
        } else {
            tunnel.classes_met.join(" ")
        },
        tunnel.sent_packets.to_string(),
        tunnel.received_packets.to_string(),
    ]
}

fn policies_table(sites: &[SiteState]) -> Table {
    let titles = [
        "edge",
        "VPN",
        "policy",
        "direction",
        "sequence",
        "matches",
        "action",
        "packets",
        "octets",
    ];
    let mut table = Table::new(&titles, 7);
    for site in sites {
        for sequence in &site.sequences {
            let number = sequence.sequence.map(|number| number.to_string());
            table.add([
                site.host_name.clone(),
                sequence.service_vpn.to_string(),
                sequence.policy.clone(),
                sequence.direction.clone(),
                number.unwrap_or_else(|| "default".to_owned()),
                matches(&sequence.matching),
                action(sequence),
                sequence.packets.to_string(),
                sequence.octets.to_string(),
            ]);
        }
    }
    table
}

fn action(sequence: &SequenceState) -> String {
    let mut text = sequence.action.clone();
    if let Some(path) = &sequence.path {
        write!(text, ": {path}").expect("a String takes everything");
    }
    if sequence.inspect {
        text += ", inspected";
    }
    if let Some(code) = sequence.set_dscp {
        write!(text, ", dscp {code}").expect("a String takes everything");
    }
    text
}

fn matches(matching: &MatchState) -> String {
    let dscp = matching.dscp.iter().map(ToString::to_string).collect();
    let fields = [
        ("", &matching.protocols),
        ("from ", &matching.source_prefixes),
        ("port ", &matching.source_ports),
        ("to ", &matching.destination_prefixes),
        ("port ", &matching.destination_ports),
        ("dscp ", &dscp),
    ];
    let parts = fields.iter().filter(|(_, values)| !values.is_empty());
    let parts: Vec<String> = parts
        .map(|(word, values)| format!("{word}{}", some(values)))
        .collect();
    if parts.is_empty() {
        "anything".to_owned()
    } else {
        parts.join(" ")
    }
}

/// The first few of many values.
fn some(values: &[String]) -> String {
    let named = values
        .iter()
        .take(NAMED_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join("|");
    match values.len().checked_sub(NAMED_MAX) {
        None | Some(0) => named,
        Some(more) => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::Device;
    use super::*;

    fn tunnel(color: &str, state: &str) -> TunnelState {
        let is_up = state == "up";
        TunnelState {
            remote_site_id: 200,
            encapsulation: "vxlan".to_owned(),
            underlay: ([100, 64, 0, 1].into(), [100, 64, 0, 3].into()),
            color: color.to_owned(),
            state: state.to_owned(),
            state_for_ms: 61_300,
            transitions: u64::from(!is_up),
            hello_ms: 50.0,
            multiplier: 3,
            total: 100,
            lost: if is_up { 2 } else { 100 },
            loss_percent: if is_up { 2.0 } else { 100.0 },
            latency_ms: is_up.then_some(0.0312),
            latency_p50_ms: is_up.then_some(0.03),
            latency_p99_ms: is_up.then_some(0.2),
            jitter_ms: is_up.then_some(0.004),
            classes_met: is_up.then(|| "voice".to_owned()).into_iter().collect(),
            sent_packets: 1234,
            received_packets: 56,
            sent_octets: 0,
            received_octets: 0,
        }
    }

    fn sequence(number: Option<u16>, matching: MatchState) -> SequenceState {
        SequenceState {
            policy: "data".to_owned(),
            service_vpn: 10,
            direction: "from-service".to_owned(),
            sequence: number,
            matching,
            action: "accept".to_owned(),
            path: number.map(|_| "biz-internet (restrict)".to_owned()),
            inspect: false,
            set_dscp: None,
            counter: None,
            packets: 7,
            octets: 700,
        }
    }

    /// A sequence of an app-route policy.
    fn called() -> SequenceState {
        let matching = MatchState {
            dscp: vec![46],
            ..MatchState::default()
        };
        SequenceState {
            policy: "app-route".to_owned(),
            path: Some("sla voice, prefer mpls, strict".to_owned()),
            inspect: true,
            set_dscp: Some(10),
            ..sequence(Some(11), matching)
        }
    }

    #[test]
    fn a_lab_reads_as_three_tables() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let matching = MatchState {
            protocols: words(&["udp"]),
            destination_prefixes: words(&["10.244.1.2/32", "10.244.1.3/32", "10.244.1.4/32"]),
            destination_ports: words(&["8081"]),
            ..MatchState::default()
        };
        let site = SiteState {
            site_id: 100,
            host_name: "edge-near".to_owned(),
            system_ip: [10, 255, 0, 1].into(),
            colors: words(&["biz-internet", "default"]),
            tunnels: vec![tunnel("biz-internet", "up"), tunnel("default", "down")],
            sequences: vec![
                called(),
                sequence(Some(1), matching),
                sequence(None, MatchState::default()),
            ],
        };
        let shown = Shown {
            folder: PathBuf::from("runs/lab-demo"),
            devices: vec![Device {
                host_name: "edge-near".to_owned(),
                system_ip: "10.255.0.1".to_owned(),
                site_id: "100".to_owned(),
                personality: "vedge".to_owned(),
                reachability: "reachable".to_owned(),
                sessions_up: Some(1),
            }],
            sites: vec![site],
        };
        let expected = "\
lab runs/lab-demo

sites
  site  edge       system IP   colors                Manager says  sessions up
  100   edge-near  10.255.0.1  biz-internet default  reachable          1 of 2

tunnels
  from       to  color         encapsulation  state     for  transitions  loss %  latency ms    p50    p99  jitter ms  SLA met  sent  received
  edge-near  -   biz-internet  vxlan          up     61.3 s            0       2       0.031  0.030  0.200      0.004    voice  1234        56
  edge-near  -   default       vxlan          down   61.3 s            1     100           -      -      -          -        -  1234        56

policies in force
  edge       VPN  policy     direction     sequence  matches                                                  action                                                      packets  octets
  edge-near  10   app-route  from-service  11        dscp 46                                                  accept: sla voice, prefer mpls, strict, inspected, dscp 10        7     700
  edge-near  10   data       from-service  1         udp to 10.244.1.2/32|10.244.1.3/32 and 1 more port 8081  accept: biz-internet (restrict)                                   7     700
  edge-near  10   data       from-service  default   anything                                                 accept                                                            7     700
";
        assert_eq!(tables(&shown), expected);
        let idle = SiteState {
            sequences: Vec::new(),
            ..shown.sites[0].clone()
        };
        let idle = Shown {
            sites: vec![idle],
            ..shown
        };
        assert!(tables(&idle).ends_with("\nno policy is in force\n"));
    }
}
