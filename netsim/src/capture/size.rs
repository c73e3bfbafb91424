//! The size of a receive ring.
//!
//! Owns which sizes there are and how they are written. Invariant: the kernel takes a ring of any.

use std::str::FromStr;

const PAGE: u32 = 4096;
const BLOCK: u32 = 128 * 1024;
const LARGEST: u32 = 1 << 30;

/// The size of a receive ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSize {
    pub(super) block_bytes: u32,
    pub(super) block_count: u32,
}

impl RingSize {
    /// A ring of at least `bytes`, rounded up to blocks of 128 KiB; up to that size, one block.
    ///
    /// A ring of one block loses every packet that arrives while that block is being read. A block holds the
    /// largest frame there is, a joined one of 64 KiB, so no frame is cut.
    #[must_use]
    pub fn of_bytes(bytes: u32) -> Self {
        if bytes <= BLOCK {
            Self {
                block_bytes: bytes.max(PAGE).next_power_of_two(),
                block_count: 1,
            }
        } else {
            Self {
                block_bytes: BLOCK,
                block_count: bytes.div_ceil(BLOCK),
            }
        }
    }

    /// The whole ring.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.block_bytes as usize * self.block_count as usize
    }
}

impl Default for RingSize {
    /// 4 MiB, 32 blocks: 640 ms without a reader, as a block goes with each 20 ms however empty it is.
    fn default() -> Self {
        Self::of_bytes(4 << 20)
    }
}

/// A text that is no size of a ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a power of two from {PAGE} to {BLOCK}, or a multiple of {BLOCK} up to {LARGEST}, found `{0}`"
)]
pub struct RingSizeError(String);

impl FromStr for RingSize {
    type Err = RingSizeError;

    /// Reads a number of bytes that a ring can have without being rounded.
    fn from_str(text: &str) -> Result<Self, RingSizeError> {
        let is_exact = |bytes: &u32| Self::of_bytes(*bytes).bytes() == *bytes as usize;
        let bytes = text
            .parse()
            .ok()
            .filter(|bytes| *bytes <= LARGEST && is_exact(bytes));
        bytes
            .map(Self::of_bytes)
            .ok_or_else(|| RingSizeError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("4096", 1)]
    #[case("131072", 1)]
    #[case("393216", 3)]
    #[case("1073741824", 8192)]
    fn a_ring_is_as_large_as_was_asked(#[case] text: &str, #[case] blocks: u32) {
        let size: RingSize = text.parse().unwrap();
        assert_eq!(
            (size.bytes().to_string().as_str(), size.block_count),
            (text, blocks)
        );
    }

    #[rstest]
    #[case::nothing("0")]
    #[case::part_of_a_page("3")]
    #[case::no_power_of_two("12288")]
    #[case::part_of_a_block("131073")]
    #[case::too_large("1073872896")]
    #[case::beyond_any_number("99999999999")]
    #[case::a_unit("4MiB")]
    #[case::negative("-4096")]
    fn what_would_be_rounded_is_refused(#[case] text: &str) {
        let refused = text.parse::<RingSize>().unwrap_err().to_string();
        let expected =
            "expected a power of two from 4096 to 131072, or a multiple of 131072 up to 1073741824";
        assert_eq!(refused, format!("{expected}, found `{text}`"));
    }
}
