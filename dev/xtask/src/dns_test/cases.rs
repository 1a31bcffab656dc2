//! The cases: what resolv.conf, hosts and the servers say, and what must come of it.

use std::time::Duration;

use super::server::{
    Answer::{self, Addresses, ByTcp, Code, Silence},
    Kind, Zone,
};

const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;

/// The first server answers as the case has it, the second is always silent; nothing is at the third.
pub const SERVER: &str = "127.0.0.1";
pub const SILENT_SERVER: &str = "127.0.0.2";

/// Packets to it are lost.
pub const VOID: &str = "10.9.0.0/24";

const AS_IN_A_POD: &str = "nameserver 127.0.0.1\n\
    search corp.test default.svc.cluster.local svc.cluster.local cluster.local\n\
    options ndots:5\n";
const PLAIN: &str = "nameserver 127.0.0.1\n";

/// How long a look-up takes at most where nothing is silent, and the controller with it.
const SOON: Duration = Duration::from_secs(3);
/// Three names are looked up one after the other: the API server's, that of STS, and the task API's.
const LATE: Duration = Duration::from_secs(6);

/// What must come of a case.
pub enum Outcome {
    /// The object is finished so soon.
    Finished(Duration),
    /// The task API isn't found, and the log says why.
    Says(&'static str),
}

/// One case.
pub struct Case {
    pub title: &'static str,
    pub resolv_conf: &'static str,
    pub hosts: &'static str,
    /// The names are `api.`, `sts.` and `cs.` before it.
    pub domain: &'static str,
    pub zone: Zone,
    pub outcome: Outcome,
}

/// Names in the open, and a server that works.
const GOOD: Case = Case {
    title: "",
    resolv_conf: PLAIN,
    hosts: "",
    domain: "example.test",
    zone: |name, kind| only(name, "example.test", good(kind)),
    outcome: Outcome::Finished(SOON),
};

pub const CASES: [Case; 20] = [
    Case {
        title: "a search domain that fails (SERVFAIL)",
        resolv_conf: AS_IN_A_POD,
        zone: |name, kind| corp(name, Code(SERVFAIL), kind),
        ..GOOD
    },
    Case {
        title: "a search domain that knows no such name (NXDOMAIN)",
        resolv_conf: AS_IN_A_POD,
        zone: |name, kind| corp(name, Code(NXDOMAIN), kind),
        ..GOOD
    },
    Case {
        title: "a search domain that is refused (REFUSED)",
        resolv_conf: AS_IN_A_POD,
        zone: |name, kind| corp(name, Code(REFUSED), kind),
        ..GOOD
    },
    Case {
        title: "a search domain that knows the name without addresses",
        resolv_conf: AS_IN_A_POD,
        zone: |name, kind| corp(name, Addresses(&[]), kind),
        ..GOOD
    },
    Case {
        title: "a search domain that never answers",
        resolv_conf: AS_IN_A_POD,
        zone: |name, kind| corp(name, Silence, kind),
        outcome: Outcome::Finished(LATE),
        ..GOOD
    },
    Case {
        title: "no AAAA: SERVFAIL",
        zone: |_, kind| aaaa(kind, Code(SERVFAIL)),
        ..GOOD
    },
    Case {
        title: "no AAAA: NOTIMP",
        zone: |_, kind| aaaa(kind, Code(NOTIMP)),
        ..GOOD
    },
    Case {
        title: "no AAAA: an empty answer",
        zone: |_, kind| aaaa(kind, Addresses(&[])),
        ..GOOD
    },
    Case {
        title: "no AAAA: no answer at all",
        zone: |_, kind| aaaa(kind, Silence),
        ..GOOD
    },
    Case {
        title: "more addresses than fit, by TCP",
        zone: |_, kind| match kind {
            Kind::A => ByTcp(&MANY),
            Kind::Aaaa => Addresses(&[]),
        },
        ..GOOD
    },
    Case {
        title: "a first name server that never answers",
        resolv_conf: "nameserver 127.0.0.2\nnameserver 127.0.0.1\n",
        ..GOOD
    },
    Case {
        title: "a first name server that isn't there",
        resolv_conf: "nameserver 127.0.0.3\nnameserver 127.0.0.1\n",
        ..GOOD
    },
    Case {
        title: "names in /etc/hosts, before DNS",
        hosts: "127.0.0.1 api.example.test sts.example.test cs.example.test\n",
        zone: |_, kind| match kind {
            Kind::A => Addresses(&["127.0.0.9"]),
            Kind::Aaaa => Addresses(&["::2"]),
        },
        ..GOOD
    },
    Case {
        title: "a Service's name with its namespace",
        resolv_conf: AS_IN_A_POD,
        domain: "default",
        zone: |name, kind| only(name, "default.svc.cluster.local", good(kind)),
        ..GOOD
    },
    Case {
        title: "a Service's name with its namespace and svc",
        resolv_conf: AS_IN_A_POD,
        domain: "default.svc",
        zone: |name, kind| only(name, "default.svc.cluster.local", good(kind)),
        ..GOOD
    },
    Case {
        title: "IPv6 only",
        zone: |_, kind| both(kind, &[], &["::1"]),
        ..GOOD
    },
    Case {
        title: "IPv4 and IPv6, of which IPv4 leads nowhere",
        zone: |_, kind| both(kind, &["10.9.0.1"], &["::1"]),
        ..GOOD
    },
    Case {
        title: "IPv4 and IPv6, of which IPv6 has no route",
        zone: |_, kind| both(kind, &["127.0.0.1"], &["fd00::1"]),
        ..GOOD
    },
    Case {
        title: "a name that isn't there, and a search domain that fails",
        resolv_conf: AS_IN_A_POD,
        zone: |name, kind| match name {
            "cs.example.test" => Code(NXDOMAIN),
            _ => corp(name, Code(SERVFAIL), kind),
        },
        outcome: Outcome::Says("no such host"),
        ..GOOD
    },
    Case {
        title: "a name for which no server answers",
        zone: |name, kind| match name {
            "cs.example.test" => Silence,
            _ => good(kind),
        },
        outcome: Outcome::Says("the name server fails or doesn't answer"),
        ..GOOD
    },
];

fn good(kind: Kind) -> Answer {
    both(kind, &["127.0.0.1"], &[])
}

fn aaaa(kind: Kind, answer: Answer) -> Answer {
    match kind {
        Kind::A => good(kind),
        Kind::Aaaa => answer,
    }
}

fn both(kind: Kind, v4: &'static [&'static str], v6: &'static [&'static str]) -> Answer {
    Addresses(match kind {
        Kind::A => v4,
        Kind::Aaaa => v6,
    })
}

/// Three names are known below `domain`, and no others at all.
fn only(name: &str, domain: &str, answer: Answer) -> Answer {
    let below = ["api", "sts", "cs"].map(|host| format!("{host}.{domain}"));
    if below.iter().any(|own| own == name) {
        answer
    } else {
        Code(NXDOMAIN)
    }
}

/// As in the open, with another answer below the search domain.
fn corp(name: &str, answer: Answer, kind: Kind) -> Answer {
    if name.ends_with(".corp.test") {
        answer
    } else {
        only(name, "example.test", good(kind))
    }
}

/// More than 512 bytes. Nothing is at the others.
const MANY: [&str; 40] = {
    let mut many = ["127.0.0.9"; 40];
    many[0] = "127.0.0.1";
    many
};
