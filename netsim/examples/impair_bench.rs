//! What impairing a line costs and how exact it is, beside the same line unimpaired, in one run:
//! `cargo run --package netsim --release --example impair_bench`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use netsim::fabric::{Forwarding, Host, LinkEnd, Mac, TABLE_MAIN};
use netsim::impair::{Impairer, Impairment, Line, Loss, Percent, schedule};

const ENDS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 1, 1)];
const TCP_TIME: Duration = Duration::from_secs(3);
const PROBES: u32 = 3_000;

struct Wire {
    hosts: Vec<Host>,
    impairer: Impairer,
}

fn main() {
    let code = netsim::netns::private::run(|signals| {
        signals.end_process_at_first();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(bench());
        0
    });
    std::process::exit(i32::from(code.unwrap()));
}

async fn bench() {
    let delayed = |delay| Impairment {
        delay,
        ..Impairment::default()
    };
    let ms = Duration::from_millis(1);
    let mut wire = Wire::build(7).await;
    println!("TCP, one flow, {TCP_TIME:?}");
    println!("  unimpaired                {:8.2} Gbit/s", wire.tcp_gigabits());
    wire.impair(delayed(ms));
    println!("  1 ms delay one way        {:8.2} Gbit/s", wire.tcp_gigabits());
    for megabits in [100, 1_000] {
        let rate = NonZeroU64::new(megabits * 1_000_000).unwrap();
        wire.impair(Impairment {
            rate: Some(rate),
            ..Impairment::default()
        });
        let measured = wire.udp_rate(rate);
        let error = (measured / megabits as f64 / 1e6 - 1.0) * 100.0;
        println!(
            "UDP at {megabits} Mbit/s            {:8.2} Mbit/s, {error:+.2} %",
            measured / 1e6
        );
    }
    println!("one-way delay, {PROBES} probes at 1 kHz: more than asked for, in us");
    println!("                               p50      p99    p99.9");
    wire.impairer.set(&BTreeMap::new()).unwrap();
    wire.print_delays("unimpaired", Duration::ZERO);
    for delay in [ms, 10 * ms] {
        wire.impair(delayed(delay));
        wire.print_delays(&format!("{delay:?} delay"), delay);
    }
    let mut drops = Vec::new();
    for seed in [7, 7, 8] {
        let mut wire = Wire::build(seed).await;
        wire.impair(Impairment {
            loss: Loss::Random(Percent::from_millionths(50_000).unwrap()),
            ..Impairment::default()
        });
        drops.push(wire.lost());
    }
    println!("loss of 5 %: {} of {PROBES} lost", drops[0].len());
    println!("  same seed, same drops     {}", drops[0] == drops[1]);
    println!("  other seed, same drops    {}", drops[0] == drops[2]);
}

impl Wire {
    async fn build(seed: u64) -> Self {
        let router = Host::create("router", Forwarding::On).await.unwrap();
        let mut hosts = Vec::new();
        for (number, end) in (0_u32..).zip(ENDS) {
            let host = Host::create(&format!("end{number}"), Forwarding::Off)
                .await
                .unwrap();
            let gateway = Ipv4Addr::from(u32::from(end) + 1);
            let side = |interface: &str, kind, address| LinkEnd {
                interface: interface.into(),
                mac: Mac::local(kind, number),
                addresses: vec![Ipv4Net::new(address, 30).unwrap().into()],
            };
            let far = side(&format!("end{number}"), 2, gateway);
            let linked = host.link(&side("eth0", 1, end), &router, &far, 1500).await;
            linked.unwrap();
            let routed = host.add_route(
                TABLE_MAIN,
                Ipv4Net::default().into(),
                "eth0",
                Some(gateway.into()),
            );
            routed.await.unwrap();
            hosts.push(host);
        }
        let impairer = Impairer::new(router.netns(), seed);
        Self { hosts, impairer }
    }

    fn impair(&mut self, impairment: Impairment) {
        let line = Line {
            to: ENDS[1],
            from: None,
        };
        self.impairer.set(&[(line, impairment)].into()).unwrap();
    }

    fn sockets(&self) -> (UdpSocket, UdpSocket) {
        let open = |end: usize| {
            let netns = self.hosts[end].netns();
            netns.run(|| UdpSocket::bind((ENDS[end], 0))).unwrap().unwrap()
        };
        let (sender, receiver) = (open(0), open(1));
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        receiver
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        (sender, receiver)
    }

    fn tcp_gigabits(&self) -> f64 {
        let listener = self.hosts[1].netns().run(|| TcpListener::bind((ENDS[1], 0)));
        let listener = listener.unwrap().unwrap();
        let to = listener.local_addr().unwrap();
        let receiver = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = vec![0; 1 << 20];
            let (mut octets, started) = (0_usize, Instant::now());
            while let Ok(len @ 1..) = stream.read(&mut buffer) {
                octets += len;
            }
            octets as f64 * 8.0 / started.elapsed().as_secs_f64() / 1e9
        });
        let connected = self.hosts[0].netns().run(|| TcpStream::connect(to));
        let mut stream = connected.unwrap().unwrap();
        let (buffer, started) = (vec![0; 1 << 20], Instant::now());
        while started.elapsed() < TCP_TIME {
            stream.write_all(&buffer).unwrap();
        }
        drop(stream);
        receiver.join().unwrap()
    }

    /// Bits a second on the wire of a train of packets, first to last; the best of five, as the machine may stand
    /// still.
    fn udp_rate(&self, rate: NonZeroU64) -> f64 {
        const COUNT: u32 = 100;
        const OCTETS: u32 = 1_400;
        let asked = schedule::transmission_ns(OCTETS, rate) * u64::from(COUNT);
        let took = (0..5).map(|_| {
            let (sender, receiver) = self.sockets();
            let payload = [0; OCTETS as usize - 28];
            let started = Instant::now();
            for _ in 0..COUNT {
                sender.send(&payload).unwrap();
            }
            for _ in 0..COUNT {
                receiver.recv(&mut [0; 2_048]).unwrap();
            }
            started.elapsed()
        });
        let best = took.min().unwrap();
        rate.get() as f64 * asked as f64 / best.as_nanos() as f64
    }

    fn print_delays(&self, name: &str, asked: Duration) {
        let (sender, receiver) = self.sockets();
        let started = Instant::now();
        let sending = std::thread::spawn(move || {
            for number in 0..PROBES {
                let moment = Duration::from_millis(u64::from(number));
                std::thread::sleep(moment.saturating_sub(started.elapsed()));
                let now = u64::try_from(started.elapsed().as_nanos()).unwrap();
                sender.send(&now.to_be_bytes()).unwrap();
            }
        });
        let mut more: Vec<f64> = Vec::new();
        let mut payload = [0; 8];
        while receiver.recv(&mut payload).is_ok() {
            let sent = Duration::from_nanos(u64::from_be_bytes(payload));
            let took = started.elapsed() - sent;
            more.push((took.as_secs_f64() - asked.as_secs_f64()) * 1e6);
        }
        sending.join().unwrap();
        more.sort_by(f64::total_cmp);
        let at = |share: f64| more[(more.len() as f64 * share) as usize];
        println!("  {name:24} {:8.0} {:8.0} {:8.0}", at(0.5), at(0.99), at(0.999));
    }

    /// The numbers of the probes that did not arrive.
    fn lost(&self) -> Vec<u32> {
        let (sender, receiver) = self.sockets();
        let sending = std::thread::spawn(move || {
            for number in 0..PROBES {
                sender.send(&number.to_be_bytes()).unwrap();
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let mut lost: Vec<u32> = (0..PROBES).collect();
        let mut payload = [0; 4];
        while receiver.recv(&mut payload).is_ok() {
            lost.retain(|number| *number != u32::from_be_bytes(payload));
        }
        sending.join().unwrap();
        lost
    }
}
