//! Which URIs the platform calls: callbacks, the places that they redirect to, prompts.
//! A bot chooses them, so they are read strictly: what two readers could read differently
//! (numbers as hosts, userinfo, backslashes, encoded hosts) is refused, and addresses
//! that lead inside (link-local ones with the metadata of clouds, private networks,
//! mapped and tunnelled forms of all that) are known whatever their spelling. Names are
//! resolved by the owner, who asks [`UriPolicy::allows_resolved`] about what came out.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest URI that is called, in bytes.
pub const URI_BYTES_MAX: usize = 2048;

/// Which URIs the platform calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UriPolicy {
    /// `https` to the public, and either scheme to this machine (a loopback address or
    /// `localhost`).
    #[default]
    HttpsOrLoopback,
    /// `https` to the public alone, as the real platform has it.
    HttpsOnly,
    /// Either scheme, also to private networks and this machine.
    Any,
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Public,
    Private,
    Loopback,
    /// Where no callback is: link-local (metadata of clouds), unspecified, multicast,
    /// reserved.
    Never,
}

/// The host of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    /// `localhost` or a name below it.
    Local,
    Name,
}

/// Names under which clouds tell machines their secrets.
const METADATA_NAMES: &[&str] =
    &["metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"];

impl UriPolicy {
    /// Whether this URI may be called, as far as it says itself where it leads.
    #[must_use]
    pub fn allows(self, uri: &str) -> bool {
        let Some((https, host)) = read(uri) else { return false };
        match host {
            Host::Name => https || self == Self::Any,
            Host::Local => self.allows_reach(https, Reach::Loopback),
            Host::Address(address) => self.allows_reach(https, reach(address)),
        }
    }

    /// Whether this URI may be called at the address that its host was resolved to. A name
    /// that resolves to this machine or to a private network is refused (but `localhost`,
    /// and under [`UriPolicy::Any`]): that is how names are rebound.
    #[must_use]
    pub fn allows_resolved(self, uri: &str, address: IpAddr) -> bool {
        let Some((https, host)) = read(uri) else { return false };
        let reach = reach(address);
        match host {
            Host::Address(written) => written == address && self.allows_reach(https, reach),
            Host::Local => reach == Reach::Loopback && self.allows_reach(https, reach),
            Host::Name => match self {
                Self::Any => self.allows_reach(https, reach),
                Self::HttpsOrLoopback | Self::HttpsOnly => https && reach == Reach::Public,
            },
        }
    }

    const fn allows_reach(self, https: bool, reach: Reach) -> bool {
        match (self, reach) {
            (_, Reach::Never) => false,
            (Self::Any, _) | (Self::HttpsOrLoopback, Reach::Loopback) => true,
            (_, Reach::Public) => https,
            (_, Reach::Private | Reach::Loopback) => false,
        }
    }
}

/// Whether the platform may call this URI.
pub(super) fn uri_allowed(policy: UriPolicy, uri: &str) -> bool {
    policy.allows(uri)
}

/// Whether it is `https`, and its host; `None` for anything that is not plainly an
/// absolute HTTP URI (RFC 3986 section 3.2, without userinfo).
fn read(uri: &str) -> Option<(bool, Host)> {
    if uri.len() > URI_BYTES_MAX || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (scheme, rest) = uri.split_once("://")?;
    let https = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    // A backslash ends the authority for browsers and does not for the RFC.
    if uri.contains('\\') {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']')?;
            let address: Ipv6Addr = host.parse().ok()?;
            (Host::Address(address.into()), port)
        }
        None => {
            let colon = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(colon);
            (read_host(host)?, port)
        }
    };
    let port_is_good = match port.strip_prefix(':') {
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port > 0)
        }
        None => port.is_empty(),
    };
    port_is_good.then_some((https, host))
}

/// A name, or four decimal numbers. Whatever else ends in a number (decimal, octal and
/// hexadecimal hosts, short forms) is an address to some readers and a name to others.
fn read_host(host: &str) -> Option<Host> {
    let bare = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if bare.is_empty() || bare.len() > 253 || !bare.split('.').all(is_label) {
        return None;
    }
    let last = bare.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        let address: Ipv4Addr = bare.parse().ok()?;
        return Some(Host::Address(address.into()));
    }
    if last.eq_ignore_ascii_case("localhost") {
        return Some(Host::Local);
    }
    let leads_to_metadata = METADATA_NAMES.iter().any(|name| bare.eq_ignore_ascii_case(name));
    (!leads_to_metadata).then_some(Host::Name)
}

/// Where an address leads, looking through every form that carries another one.
fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(inner) => reach_v4(inner),
            None => reach_v6(address),
        },
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, d] = address.octets();
    match (a, b, c, d) {
        (127, ..) => Reach::Loopback,
        // The last two are where other clouds keep what 169.254.169.254 tells elsewhere.
        (0, ..) | (169, 254, ..) | (224..=255, ..) | (192, 0, 0, _) => Reach::Never,
        (100, 100, 100, 200) | (168, 63, 129, 16) => Reach::Never,
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) | (100, 64..=127, ..) => Reach::Private,
        (198, 18..=19, ..) => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let segments = address.segments();
    match segments[0] {
        _ if address.is_loopback() => Reach::Loopback,
        _ if address.is_unspecified() => Reach::Never,
        // AWS tells its metadata at fd00:ec2::254.
        0xfd00 if segments[1] == 0x0ec2 => Reach::Never,
        0xfc00..=0xfdff => Reach::Private,
        0xfe80..=0xffff => Reach::Never,
        _ => Reach::Public,
    }
}

/// The IPv4 address inside an IPv6 one: mapped and compatible (RFC 4291), translated
/// (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380, where it is inverted).
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        [0x2001, 0, _, _, _, _, high, low] => v4(!high, !low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ways around a policy that a bot's owner may try. None of them is called, under the
    /// policy of every day and under the strictest.
    const VECTORS: &[&str] = &[
        // Plain http to anywhere else.
        "http://bot.test/calls",
        "http://8.8.8.8/",
        "HTTP://BOT.TEST/",
        // Numbers as hosts: decimal, octal, hexadecimal, mixed, short, overflowing.
        "https://2130706433/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://0177.1/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://127.0.1/",
        "https://127.0.0.01/",
        "https://127.0.0.256/",
        "https://4294967297/",
        "https://0xa9fea9fe/",
        "https://2852039166/",
        "https://0251.0376.0251.0376/",
        "https://169.254.43518/",
        "https://127.0.0.1.0x1/",
        "https://1.2.3.4.5/",
        // Metadata and link-local.
        "https://169.254.169.254/latest/meta-data/",
        "http://169.254.169.254/",
        "https://169.254.169.254./",
        "https://100.100.100.200/",
        "https://168.63.129.16/",
        "https://metadata.google.internal/computeMetadata/v1/",
        "https://METADATA.google.internal./",
        "https://metadata/",
        "https://instance-data/latest/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        // Private networks.
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://172.31.255.255/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://[fc00::1]/",
        "https://[fd12:3456:789a::1]/",
        // Unspecified, broadcast, multicast, reserved.
        "https://0.0.0.0/",
        "http://0/",
        "https://[::]/",
        "https://255.255.255.255/",
        "https://224.0.0.1/",
        "https://240.0.0.1/",
        "https://[ff02::1]/",
        // Mapped, compatible, translated, tunnelled.
        "https://[::ffff:10.0.0.1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[::169.254.169.254]/",
        "https://[0:0:0:0:0:ffff:c0a8:0101]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[64:ff9b:1::a00:1]/",
        "https://[2002:a9fe:a9fe::1]/",
        "https://[2001:0:0:0:0:0:5601:5601]/",
        "https://[::ffff:0:a00:1]/",
        // Userinfo, and authorities that two readers read differently.
        "https://localhost@bot.test/",
        "https://bot.test@169.254.169.254/",
        "https://user:secret@bot.test/",
        "https://bot.test:443@10.0.0.1/",
        "https://bot.test\\@10.0.0.1/",
        "https:\\\\bot.test/",
        "https://10.0.0.1\\.bot.test/",
        "https://bot.test%2f@10.0.0.1/",
        "https://%31%30.0.0.1/",
        "https://bot%2etest/",
        "https://①②⑦.0.0.1/",
        "https://bot。test/",
        "https://bot.test:0/",
        "https://bot.test:99999/",
        "https://bot.test:80:443/",
        "https://bot.test:+443/",
        "https://bot.test:/..:/",
        "https://[::1/",
        "https://[::1]x/",
        "https://::1/",
        "https://.bot.test/",
        "https://bot..test/",
        // Not HTTP, or not whole.
        "file:///etc/passwd",
        "ftp://bot.test/",
        "gopher://bot.test:70/",
        "javascript://bot.test/",
        "ws://bot.test/",
        "https:bot.test",
        "https:/bot.test/",
        "//bot.test/",
        "bot.test",
        "callbackUri-value",
        "",
        "https://",
        "https:///path",
        "https://?x",
        "https://bot.test/\r\nHost: x",
        "https://bot.test/a b",
        "https://bot.test/\u{0}",
        " https://bot.test/",
        "\thttps://bot.test/",
        "https://b\u{1F916}t.test/",
    ];

    const LEGITIMATE: &[&str] = &[
        "https://bot.test/calls",
        "https://bot.test",
        "https://bot.test./calls",
        "https://bot.test:8443/api/calls?affinity=7#x",
        "HTTPS://Bot.Test/calls",
        "https://xn--bcher-kva.example/",
        "https://bot_one.example/a%20b",
        "https://a-b.azurewebsites.net/api/calling/callback/1234@5678",
        "https://bot.test/@path",
        "https://9.bot.test/",
        "https://20.190.128.1/",
        "https://[2603:1030::1]:443/calls",
        "https://172.32.0.1/",
        "https://100.128.0.1/",
        "https://0x.example/",
        "https://localhost.example/",
    ];

    const LOCAL: &[&str] = &[
        "http://127.0.0.1:3978/api/calls",
        "http://127.8.9.10/",
        "http://[::1]:3978/api/calls",
        "HTTP://localhost/x",
        "http://bot.localhost:3978/",
        "https://localhost:3978/",
        "https://127.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
    ];

    #[test]
    fn no_way_around_leads_inside_and_no_callback_is_lost() {
        use UriPolicy::{Any, HttpsOnly, HttpsOrLoopback};
        assert!(VECTORS.len() >= 60);
        for uri in VECTORS {
            assert!(!HttpsOrLoopback.allows(uri), "{uri}");
            assert!(!HttpsOnly.allows(uri), "{uri}");
        }
        for uri in LEGITIMATE {
            for policy in [HttpsOrLoopback, HttpsOnly, Any] {
                assert!(policy.allows(uri), "{policy:?} {uri}");
            }
        }
        for uri in LOCAL {
            assert!(HttpsOrLoopback.allows(uri) && Any.allows(uri), "{uri}");
            assert!(!HttpsOnly.allows(uri), "{uri}");
        }
        for (uri, allowed) in [
            ("http://bot.test/", true),
            ("http://10.0.0.1/", true),
            ("https://[fc00::1]/", true),
            ("http://169.254.169.254/", false),
            ("http://2130706433/", false),
            ("http://a@bot.test/", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(Any.allows(uri), allowed, "{uri}");
        }
    }

    #[test]
    fn a_name_is_called_where_it_leads_outside() {
        let address = |text: &str| text.parse::<IpAddr>().expect("it is an address");
        let name = "https://bot.test/calls";
        for (to, https_or_loopback, any) in [
            ("20.190.128.1", true, true),
            ("2603:1030::1", true, true),
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("10.1.2.3", false, true),
            ("::ffff:10.1.2.3", false, true),
            ("169.254.169.254", false, false),
            ("64:ff9b::a9fe:a9fe", false, false),
            ("0.0.0.0", false, false),
        ] {
            let to = address(to);
            assert_eq!(UriPolicy::HttpsOrLoopback.allows_resolved(name, to), https_or_loopback);
            assert_eq!(UriPolicy::HttpsOnly.allows_resolved(name, to), https_or_loopback);
            assert_eq!(UriPolicy::Any.allows_resolved(name, to), any, "{to}");
        }
        let local = "http://localhost:3978/";
        assert!(UriPolicy::HttpsOrLoopback.allows_resolved(local, address("127.0.0.1")));
        assert!(!UriPolicy::HttpsOrLoopback.allows_resolved(local, address("20.190.128.1")));
        let literal = "http://127.0.0.1/";
        assert!(!UriPolicy::HttpsOrLoopback.allows_resolved(literal, address("127.0.0.2")));
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_forbidden_address_is_allowed(bits in any::<u32>(), form in 0..9) {
            let v4 = Ipv4Addr::from(bits);
            let [a, b, c, d] = v4.octets();
            let (high, low) = ((bits >> 16) as u16, bits as u16);
            let host = match form {
                0 => v4.to_string(),
                1 => format!("{bits}"),
                2 => format!("0x{bits:08x}"),
                3 => format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
                4 => format!("[::ffff:{v4}]"),
                5 => format!("[64:ff9b::{high:x}:{low:x}]"),
                6 => format!("[2002:{high:x}:{low:x}::]"),
                7 => format!("[2001:0:1:2:3:4:{:x}:{:x}]", !high, !low),
                _ => format!("{a}.{b}.{}", u32::from(c) << 8 | u32::from(d)),
            };
            let allowed = UriPolicy::HttpsOnly.allows(&format!("https://{host}/"));
            let read_by_all = matches!(form, 0 | 4..=7);
            prop_assert!(!allowed || read_by_all && reach_v4(v4) == Reach::Public, "{host}");
            // What is public and plainly written is never lost.
            if form == 0 {
                prop_assert_eq!(allowed, reach_v4(v4) == Reach::Public);
            }
        }

        #[test]
        fn no_uri_makes_it_panic(uri in "\\PC{0,60}", host in "[0-9a-fxX.:@\\[\\]%-]{0,30}") {
            let _ = UriPolicy::Any.allows(&uri);
            let _ = UriPolicy::HttpsOrLoopback.allows(&format!("https://{host}/"));
        }
    }
}
