//! A small network of its own: hosts in network namespaces, joined by a switch in another one, each over a link that can be cut without a word
//! to either side: no RST, no FIN, packets are gone. Nothing outside of it is touched.

use std::fs::File;
use std::net::IpAddr;
use std::process::{Command, Output};
use std::thread;

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Removed when dropped.
pub struct Network {
    /// Of the namespaces: other tests have theirs.
    prefix: String,
    hosts: Vec<&'static str>,
}

impl Network {
    /// Fails with what is missing where this machine admits none.
    pub fn of(hosts: &[&'static str]) -> Self {
        let network = Self { prefix: format!("odograph-{}", std::process::id()), hosts: hosts.to_vec() };
        let switch = network.name("switch");
        ip(&["netns", "add", &switch]);
        ip(&["-n", &switch, "link", "add", "switch", "type", "bridge"]);
        // It forwards at once: there is no ring to look for.
        ip(&["-n", &switch, "link", "set", "switch", "up"]);
        for host in hosts {
            let (name, address) = (network.name(host), format!("{}/24", network.address(host)));
            ip(&["netns", "add", &name]);
            ip(&["-n", &switch, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", &name]);
            ip(&["-n", &switch, "link", "set", host, "master", "switch", "up"]);
            ip(&["-n", &name, "address", "add", &address, "dev", "eth0"]);
            ip(&["-n", &name, "link", "set", "eth0", "up"]);
            ip(&["-n", &name, "link", "set", "lo", "up"]);
        }
        network
    }

    pub fn address(&self, host: &str) -> IpAddr {
        let number = self.hosts.iter().position(|known| *known == host).expect("one of the hosts");
        [10, 213, 77, u8::try_from(number + 1).unwrap()].into()
    }

    /// What the host sends is gone, and so is what others send it. Neither is told.
    pub fn cut(&self, host: &str) {
        ip(&["-n", &self.name("switch"), "link", "set", host, "down"]);
    }

    pub fn mend(&self, host: &str) {
        ip(&["-n", &self.name("switch"), "link", "set", host, "up"]);
    }

    /// Runs on the host: sockets, processes and threads that are made in there are its own.
    pub fn on<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name(host))).unwrap();
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                // Of this thread alone, and of what it starts.
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in self.hosts.iter().chain(&["switch"]) {
            let _not_made = Command::new("ip").args(["netns", "delete", &self.name(host)]).output();
        }
    }
}

fn ip(arguments: &[&str]) {
    let output: Output =
        Command::new("ip").args(arguments).output().expect("ip is missing: apt-get install iproute2 (make test does it)");
    assert!(
        output.status.success(),
        "network namespaces are needed here, and so are the rights to make them (root with CAP_NET_ADMIN and CAP_SYS_ADMIN): ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
}
