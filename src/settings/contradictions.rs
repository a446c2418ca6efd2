//! Settings that are well-formed each and do not go together.

use super::{Broker, ModelAlert, Page, Settings, signals};

impl Settings {
    /// What each value alone does not show.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        check(self.analytics.batch_max >= 1, "`analytics.batch_max` is 0; at least one message must fit a batch");
        check(self.analytics.inbox >= 1, "`analytics.inbox` is 0; at least one message must be able to wait");
        check(
            self.analytics.reorder_hold.duration() * 2 <= self.mqtt.ack_timeout.duration(),
            "`analytics.reorder_hold` is over half of `mqtt.ack_timeout`; vehicles would give up before they are answered",
        );
        let ModelAlert { open_tail_probability: open, close_tail_probability: close, raised, of, .. } = self.analytics.alert;
        check(
            open > 0.0 && open <= close && close < 1.0,
            "`analytics.alert`: 0 < open_tail_probability <= close_tail_probability < 1 does not hold",
        );
        check(
            (1..=64).contains(&of) && (1..=of).contains(&raised),
            "`analytics.alert`: `raised` is 1 to `of`, and `of` at most 64",
        );
        check(self.archive.batch_max >= 1, "`archive.batch_max` is 0; at least one record must fit a transaction");
        check(self.live.max_vehicles >= 1, "`live.max_vehicles` is 0; at least one vehicle must be shown");
        check(self.mqtt.max_connections >= 1, "`mqtt.max_connections` is 0; no vehicle could connect");
        check(
            self.http.address.ip().is_loopback(),
            "`http.address` is not on loopback: there are no accounts, so page and API would be open to everyone; reach them through a tunnel",
        );
        let grpc = self.grpc.tls();
        check(
            self.grpc.address.ip().is_loopback() || grpc.has_authority(),
            "`grpc.address` is not on loopback and would be open to everyone; set `grpc.certificate`, `grpc.private_key` and \
             `grpc.client_authority` (`odograph pki` makes them), or reach it through a tunnel",
        );
        check(
            grpc.has_certificate() || !grpc.has_authority(),
            "`grpc.client_authority` needs `grpc.certificate`: without TLS no client shows a certificate",
        );
        let mqtt = self.mqtt.tls();
        let addresses = [Some(self.mqtt.address), self.mqtt.tls_address.0];
        check(
            self.mqtt.wants_identities() || addresses.iter().flatten().all(|address| address.ip().is_loopback()),
            "`mqtt.address` or `mqtt.tls_address` is not on loopback, where anybody could send as any vehicle; set `mqtt.tls_address`, \
             `mqtt.certificate`, `mqtt.private_key` and `mqtt.client_authority` (`odograph pki` makes them), or `mqtt.passwords` (`odograph \
             password` makes it), or reach it through a tunnel",
        );
        check(
            self.mqtt.tls_address.0.is_none() || mqtt.has_certificate(),
            "`mqtt.tls_address` needs `mqtt.certificate` and `mqtt.private_key`",
        );
        check(
            self.mqtt.tls_address.0.is_some() || !mqtt.has_authority(),
            "`mqtt.client_authority` needs `mqtt.tls_address`: without TLS no vehicle shows a certificate",
        );
        check(self.fleet.stale_after < self.fleet.offline_after, "`fleet.stale_after` must be below `fleet.offline_after`");
        check(self.journal.segment.bytes() >= 1 << 20, "`journal.segment` is under 1MiB; a message must fit a segment");
        check(
            self.journal.max.bytes() >= 4 * self.journal.segment.bytes(),
            "`journal.max` must hold at least 4 segments of `journal.segment`, or the journal could never rotate",
        );
        check(self.ingest.max_payload.bytes() <= 1 << 20, "`ingest.max_payload` is over 1MiB; packets over 2 MiB are refused");
        problems.extend(self.role_problems());
        problems.extend(self.grpc.tls().problem("grpc"));
        problems.extend(self.mqtt.tls().problem("mqtt"));
        problems.extend(self.links.tls().problem("links"));
        problems.extend(self.broker.problem());
        problems.extend(self.page.problems());
        problems.extend(self.slo.problems());
        problems.extend(signals::contradictions(&self.signals));
        problems.extend(self.rules.problems());
        problems
    }
}

impl Broker {
    fn problem(&self) -> Option<String> {
        let tls = self.tls();
        let is_plain = !self.url.starts_with("mqtts://");
        if is_plain && (tls.has_certificate() || tls.has_authority()) {
            let problem =
                "`broker.authority` and `broker.certificate` are for a broker with TLS; `broker.url` has to begin with mqtts://";
            return Some(problem.to_owned());
        }
        tls.problem("broker")
    }
}

impl Page {
    fn problems(&self) -> Vec<String> {
        // Both stand in a header where `;` and blanks would mean something.
        let is_address = |text: &str| {
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            rest.is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b";,'\"".contains(&byte))
            })
        };
        let mut problems = Vec::new();
        if !self.map_style.is_empty() && !is_address(&self.map_style) {
            problems.push(format!("`page.map_style` = {:?} is no http(s) address of a style", self.map_style));
        }
        if !self.map_style.is_empty() && !self.map_tiles.as_os_str().is_empty() {
            problems.push("`page.map_style` and `page.map_tiles` are both set; the page has one background".to_owned());
        }
        for origin in self.map_origins.iter().filter(|origin| !is_address(origin) || origin.split('/').count() != 3) {
            problems.push(format!("`page.map_origins` has {origin:?}; write an origin such as \"https://tiles.example.org\""));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Sources;

    fn problems(flags: &[(&'static str, &str)]) -> String {
        let flags = flags.iter().map(|(key, value)| (*key, *key, (*value).to_owned())).collect();
        Settings::load(&Sources { flags, ..Sources::default() }).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn vehicles_come_from_beyond_loopback_only_where_they_prove_who_they_are() {
        for key in ["mqtt.address", "mqtt.tls_address"] {
            let certificate = [("mqtt.certificate", "c"), ("mqtt.private_key", "k")];
            let open = problems(&[&[(key, "0.0.0.0:0")][..], &certificate].concat());
            assert!(open.contains("odograph pki") && open.contains("odograph password"), "{key}: {open}");
            assert_eq!(problems(&[&[(key, "0.0.0.0:0"), ("mqtt.passwords", "p")][..], &certificate].concat()), "", "{key}");
        }
        let with_authority = [("mqtt.tls_address", "[::]:8883"), ("mqtt.certificate", "c"), ("mqtt.private_key", "k")];
        assert_eq!(problems(&[&with_authority[..], &[("mqtt.client_authority", "a")]].concat()), "");
        assert!(problems(&[("mqtt.client_authority", "a")]).contains("needs `mqtt.tls_address`"));
        assert!(problems(&[("mqtt.tls_address", "127.0.0.1:0")]).contains("needs `mqtt.certificate`"));
        assert!(problems(&[("mqtt.certificate", "c")]).contains("go together"));
        assert!(problems(&[("mqtt.tls_address", "everywhere")]).contains("no address such as"));
    }
}
