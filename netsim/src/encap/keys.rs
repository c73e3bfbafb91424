//! Keys of tunnels, derived from the secret of a run.
//!
//! Owns their derivation and that they never show: `Debug` prints a stand-in. A lab's keys protect nothing but the
//! proof that the underlay is encrypted; they live as long as the run.

use std::fmt;

use blake2::Blake2sMac256;
use blake2::digest::{FixedOutput, KeyInit, Update};
use boringtun::x25519;

/// What the keys of a run are derived from: 32 octets, random or from the seed of a run.
#[derive(Clone)]
pub struct RunSecret([u8; 32]);

impl RunSecret {
    /// These octets.
    #[must_use]
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The same for the same seed, for runs that can be repeated.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self(mac(&[0; 32], &[b"pathproof run secret", &seed.to_le_bytes()]))
    }

    /// The private key of the WireGuard device of that name, such as `edge-near/biz-internet`.
    #[must_use]
    pub fn wireguard(&self, device: &str) -> PrivateKey {
        PrivateKey(mac(&self.0, &[b"wireguard", device.as_bytes()]))
    }

    /// The ESP key and the security parameter index of the direction from one device to another.
    #[must_use]
    pub fn esp(&self, from: &str, to: &str) -> EspKey {
        // A zero octet cannot be in a name, so no two pairs of names read the same.
        let octets = mac(&self.0, &[b"esp", from.as_bytes(), &[0], to.as_bytes()]);
        let spi = u32::from_be_bytes([octets[20], octets[21], octets[22], octets[23]]);
        let mut key = [0; EspKey::OCTETS];
        key.copy_from_slice(&octets[..EspKey::OCTETS]);
        // Indices up to 255 are reserved, RFC 4303 section 2.1.
        EspKey {
            spi: spi | 0x100,
            key,
        }
    }
}

impl fmt::Debug for RunSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunSecret(..)")
    }
}

/// A WireGuard private key.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey([u8; 32]);

impl PrivateKey {
    /// These octets, as Curve25519 takes them.
    #[must_use]
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The key that peers know.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519::PublicKey::from(&self.secret()).to_bytes())
    }

    pub(super) fn secret(&self) -> x25519::StaticSecret {
        x25519::StaticSecret::from(self.0)
    }

    pub(super) fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// A WireGuard public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// Key and security parameter index of one direction of ESP.
#[derive(Clone, PartialEq, Eq)]
pub struct EspKey {
    /// Security parameter index, above 255.
    pub spi: u32,
    /// AES-128 key and the salt behind it, RFC 4106 section 8.1.
    key: [u8; Self::OCTETS],
}

impl EspKey {
    const OCTETS: usize = 16 + 4;

    pub(super) fn octets(&self) -> &[u8; Self::OCTETS] {
        &self.key
    }
}

impl fmt::Debug for EspKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EspKey(spi {:#x}, ..)", self.spi)
    }
}

/// Keyed BLAKE2s, RFC 7693.
fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Blake2sMac256 as KeyInit>::new(key.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize_fixed().into()
}
