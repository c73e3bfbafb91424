use etherparse::PacketBuilder;
use tempfile::TempDir;

use super::*;

const RUN: u64 = 7;
const SIZE: usize = 64;

fn sink() -> (Sightings, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let files = PcapngFiles::create(folder.path(), &["a:tunnel/t".to_owned()]).unwrap();
    let ports = TunnelPorts {
        vxlan: vec![4789],
        wireguard: vec![51_820],
    };
    (Sightings::new(RUN, ports, 1, files), folder)
}

fn probe(run: u64, sequence: u64) -> Vec<u8> {
    let size = u16::try_from(SIZE).unwrap();
    Identity {
        run,
        stream: 1,
        direction: Direction::Request,
        sequence,
        sent_ns: 5,
        size,
    }
    .record()
}

fn see(sink: &mut Sightings, data: &[u8]) {
    let wire_len = u32::try_from(data.len()).unwrap();
    sink.frame(
        0,
        Frame {
            at_ns: 100,
            way: Way::Out,
            wire_len,
            data,
        },
    );
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [3; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(1, 2);
    builder.write(&mut frame, payload).unwrap();
    frame
}

/// A segment of a connection whose initial sequence number is 4294967290, so that it wraps soon.
fn tcp(offset: u32, payload: &[u8]) -> Vec<u8> {
    const FIRST: u32 = u32::MAX - 4;
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [3; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(1, 2, FIRST.wrapping_add(offset), 1024);
    builder.write(&mut frame, payload).unwrap();
    frame
}

fn syn() -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [3; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(1, 2, u32::MAX - 5, 1024)
        .syn();
    builder.write(&mut frame, &[]).unwrap();
    frame
}

fn sequences(sink: &Sightings) -> Vec<u64> {
    sink.seen.iter().map(|sighting| sighting.sequence).collect()
}

#[test]
fn a_udp_probe_is_sighted_where_and_when_it_was() {
    let (mut sink, _folder) = sink();
    see(&mut sink, &udp(&probe(RUN, 3)));
    let [sighting] = sink.seen.as_slice() else {
        panic!("{:?}", sink.seen)
    };
    assert_eq!(
        (sighting.stream, sighting.direction, sighting.sequence),
        (1, Direction::Request, 3)
    );
    assert_eq!(
        (sighting.hop.point, sighting.hop.at_ns, sighting.hop.carried),
        (0, 100, None)
    );
}

#[test]
fn a_probe_of_another_run_is_a_stray() {
    let (mut sink, _folder) = sink();
    see(&mut sink, &udp(&probe(RUN + 1, 3)));
    see(&mut sink, &udp(b"no probe at all"));
    assert_eq!((sink.seen.len(), sink.strays), (0, 1));
}

#[test]
fn records_are_sighted_however_segments_cut_them() {
    let stream: Vec<u8> = (0..4).flat_map(|sequence| probe(RUN, sequence)).collect();
    let (mut sink, _folder) = sink();
    see(&mut sink, &syn());
    // The second cut goes through record 1, the third joins its rest with record 2 and the start of 3.
    for (from, to) in [
        (0, SIZE),
        (SIZE, SIZE + 10),
        (SIZE + 10, 3 * SIZE + 1),
        (3 * SIZE + 1, 4 * SIZE),
    ] {
        see(&mut sink, &tcp(u32::try_from(from).unwrap(), &stream[from..to]));
    }
    // A record is sighted with each segment that holds some of it.
    assert_eq!(sequences(&sink), [0, 1, 1, 2, 3, 3]);
    assert_eq!(sink.strays, 0);
}

#[test]
fn places_in_a_stream_go_on_where_sequence_numbers_wrap() {
    let mut connection = Connection::default();
    for (low, place) in [
        (0, 0),
        (1 << 30, 1 << 30),
        (1 << 31, 1 << 31),
        (3 << 30, 3 << 30),
        (0, 1 << 32),
    ] {
        assert_eq!(connection.place(low), place);
    }
    assert_eq!(
        connection.place(u32::MAX),
        (1 << 32) - 1,
        "a retransmission from before the wrap"
    );
}

#[test]
fn a_retransmission_is_another_sighting_of_the_same_probe() {
    let (mut sink, _folder) = sink();
    see(&mut sink, &syn());
    see(&mut sink, &tcp(0, &probe(RUN, 0)));
    see(&mut sink, &tcp(0, &probe(RUN, 0)));
    assert_eq!(sequences(&sink), [0, 0]);
}

#[test]
fn an_acknowledgement_is_no_probe_and_no_stray() {
    let (mut sink, _folder) = sink();
    see(&mut sink, &syn());
    see(&mut sink, &tcp(0, &[]));
    assert_eq!((sink.seen.len(), sink.strays), (0, 0));
}

#[test]
fn data_of_a_connection_whose_start_was_missed_is_a_stray() {
    let (mut sink, _folder) = sink();
    see(&mut sink, &tcp(0, &probe(RUN, 0)));
    assert_eq!((sink.seen.len(), sink.strays), (0, 1));
}

#[test]
fn every_frame_is_in_the_capture_file() {
    let (mut sink, folder) = sink();
    see(&mut sink, &udp(&probe(RUN, 3)));
    see(&mut sink, &udp(b"no probe at all"));
    sink.close_files().unwrap();
    let file = std::fs::File::open(folder.path().join("a-tunnel-t.pcapng")).unwrap();
    let mut reader = pcap_file::pcapng::PcapNgReader::new(file).unwrap();
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        if let pcap_file::pcapng::Block::EnhancedPacket(packet) = block.unwrap().0 {
            packets.push((
                packet.timestamp.as_nanos(),
                packet.original_len as usize,
                packet.data.len(),
            ));
        }
    }
    let len = udp(&probe(RUN, 3)).len();
    assert_eq!(packets[0], (100, len, len));
    assert_eq!(packets.len(), 2);
}

#[test]
fn what_is_encrypted_is_counted_and_sights_nothing() {
    let (mut sink, _folder) = sink();
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [3; 6])
        .ipv4([100, 64, 0, 1], [100, 64, 0, 3], 64)
        .udp(51_820, 51_820);
    builder.write(&mut frame, &probe(RUN, 3)).unwrap();
    see(&mut sink, &frame);
    assert_eq!((sink.seen.len(), sink.strays), (0, 0));
    assert_eq!(sink.hidden, [BTreeMap::from([(Encapsulation::Wireguard, 1)])]);
}
