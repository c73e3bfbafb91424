//! One pcapng file for each capture point, with nanosecond timestamps and the way of each packet
//! (draft-ietf-opsawg-pcapng).
//!
//! Owns the files. Invariant: a write that failed is not forgotten; [`PcapngFiles::close`] returns it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use netsim::capture::{Frame, Way};
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};

/// Bits of epb_flags: inbound and outbound.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// The files of one run, in the order of its taps.
pub struct PcapngFiles {
    files: Vec<PcapNgWriter<BufWriter<File>>>,
    failed: Option<io::Error>,
}

impl PcapngFiles {
    /// Creates `<folder>/<name>.pcapng` for each name; `/` and `:` in a name become `-`.
    ///
    /// # Errors
    /// When a file cannot be created.
    pub fn create(folder: &Path, names: &[String]) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let files = names
            .iter()
            .map(|name| create(&folder.join(file_name(name)), name));
        Ok(Self {
            files: files.collect::<io::Result<_>>()?,
            failed: None,
        })
    }

    /// Adds a frame to the file of a tap.
    pub fn write(&mut self, tap: usize, frame: Frame<'_>) {
        let flags = match frame.way {
            Way::In => INBOUND,
            Way::Out => OUTBOUND,
        };
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_nanos(frame.at_ns),
            original_len: frame.wire_len,
            data: frame.data.into(),
            options: vec![EnhancedPacketOption::Flags(flags)],
        };
        let written = self.files[tap]
            .write_pcapng_block(block)
            .map_err(io::Error::other);
        self.note(written.map(|_| ()));
    }

    /// Writes what is buffered and ends the files.
    ///
    /// # Errors
    /// The first write that failed, now or before.
    pub fn close(&mut self) -> io::Result<()> {
        for file in std::mem::take(&mut self.files) {
            let flushed = file.into_inner().flush();
            self.note(flushed);
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }
}

impl std::fmt::Debug for PcapngFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PcapngFiles")
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

fn file_name(tap: &str) -> PathBuf {
    format!("{}.pcapng", tap.replace(['/', ':'], "-")).into()
}

fn create(path: &Path, name: &str) -> io::Result<PcapNgWriter<BufWriter<File>>> {
    let mut writer = PcapNgWriter::new(BufWriter::new(File::create(path)?)).map_err(io::Error::other)?;
    let interface = InterfaceDescriptionBlock {
        linktype: DataLink::ETHERNET,
        snaplen: 0,
        options: vec![
            InterfaceDescriptionOption::IfName(name.into()),
            InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
        ],
    };
    writer.write_pcapng_block(interface).map_err(io::Error::other)?;
    Ok(writer)
}
