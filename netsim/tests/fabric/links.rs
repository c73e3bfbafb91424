//! What a link is after it was down.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use netsim::fabric::{Families, Forwarding, Host, LinkEnd, Mac};

pub async fn addresses_outlast_a_link_that_was_down() {
    let host = async |name| {
        Host::create_speaking(name, Forwarding::On, Families::Both)
            .await
            .unwrap()
    };
    let (router, host) = (host("router").await, host("host").await);
    let end = |number: u8| LinkEnd {
        interface: "eth0".to_owned(),
        mac: Mac::local(9, number.into()),
        addresses: [format!("192.0.2.{number}/24"), format!("2001:db8::{number}/64")]
            .map(|address| address.parse().unwrap())
            .into(),
    };
    router.link(&end(1), &host, &end(2), 1500).await.unwrap();
    router.set_down("eth0").await.unwrap();
    router.set_up_again("eth0").await.unwrap();
    // The kernel takes an IPv6 address into use some time after its link is up (net/ipv6/addrconf.c).
    let deadline = Instant::now() + Duration::from_secs(5);
    for address in ["192.0.2.1:0", "[2001:db8::1]:0"] {
        let bind = || router.netns().run(|| UdpSocket::bind(address)).unwrap();
        while let Err(error) = bind() {
            assert!(Instant::now() < deadline, "{address}: {error}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
