//! Intents that an operator writes down for many ports at once: the policy file.
//!
//! ```toml
//! [[rule]]
//! port = "incus-net7-instance-*"   # globs: * and ?; a rule needs one of port, switch and router
//! ipv4 = "203.0.113.10"            # an address, auto or none; a rule needs one of ipv4 and ipv6
//! ```
//!
//! For each port and family the first rule that matches and has a key for the family decides.

use std::net::IpAddr;

use ovn_model::Family;
use serde::Deserialize;
use wildmatch::WildMatch;

use crate::wanted::{self, Wanted};

/// The rules, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    #[serde(rename = "rule")]
    rules: Vec<Rule>,
}

/// One rule: the ports that it is for, and their addresses.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RuleText")]
struct Rule {
    port: Option<Glob>,
    switch: Option<Glob>,
    router: Option<Glob>,
    ipv4: Option<Wish>,
    ipv6: Option<Wish>,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    port: Option<Glob>,
    switch: Option<Glob>,
    router: Option<Glob>,
    ipv4: Option<Text<4>>,
    ipv6: Option<Text<6>>,
}

/// The intent; `None` for `none`, which also ends the search.
type Wish = Option<Wanted>;

/// A wish for one family.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Text<const VERSION: u8>(Wish);

/// A pattern of names in which `*` matches any text and `?` any character.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "String")]
pub struct Glob(WildMatch, String);

/// The names of a port that rules match.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The name of the port.
    pub port: &'a str,
    /// The name of its switch.
    pub switch: Option<&'a str>,
    /// The names of the routers that it reaches.
    pub routers: &'a [&'a str],
}

// ===== impl Policy =====

impl Policy {
    /// Parses a policy file.
    ///
    /// # Errors
    /// The text is not valid TOML or not a policy. The error shows the line and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Returns whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the request of the first matching rule that has one for the family.
    pub fn wish(&self, family: Family, names: Names<'_>) -> Option<Wish> {
        self.rules.iter().filter(|rule| rule.matches(names)).find_map(|rule| rule.wish(family))
    }

    /// Returns the ports that rules name without a pattern, and their intents: such a port is reported if it does not
    /// exist.
    pub fn named_ports(&self) -> impl Iterator<Item = (&str, Family, Wanted)> {
        self.rules.iter().flat_map(|rule| {
            let name = rule.port.as_ref().and_then(Glob::literal);
            Family::ALL.into_iter().filter_map(move |family| Some((name?, family, rule.wish(family)??)))
        })
    }
}

// ===== impl Rule =====

impl Rule {
    fn matches(&self, names: Names<'_>) -> bool {
        let fits = |glob: &Option<Glob>, name: &[&str]| {
            glob.as_ref().is_none_or(|g| name.iter().any(|n| g.matches(n)))
        };
        fits(&self.port, &[names.port])
            && fits(&self.switch, names.switch.as_slice())
            && fits(&self.router, names.routers)
    }

    fn wish(&self, family: Family) -> Option<Wish> {
        match family {
            Family::V4 => self.ipv4,
            Family::V6 => self.ipv6,
        }
    }
}

impl TryFrom<RuleText> for Rule {
    type Error = &'static str;

    fn try_from(text: RuleText) -> Result<Self, &'static str> {
        let RuleText { port, switch, router, ipv4, ipv6 } = text;
        if port.is_none() && switch.is_none() && router.is_none() {
            return Err("a rule needs one of port, switch and router: use port = \"*\" for all ports");
        }
        if ipv4.is_none() && ipv6.is_none() {
            return Err("a rule needs one of ipv4 and ipv6");
        }
        Ok(Self { port, switch, router, ipv4: ipv4.map(|text| text.0), ipv6: ipv6.map(|text| text.0) })
    }
}

impl<const VERSION: u8> TryFrom<String> for Text<VERSION> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let family = if VERSION == 4 { Family::V4 } else { Family::V6 };
        let wrong = |_| format!("\"{text}\" is not an {} address, auto or none", family.title());
        wanted::parse(&text, family).map(Self).map_err(wrong)
    }
}

// ===== impl Glob =====

impl Glob {
    /// Returns whether the pattern matches all of `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.0.matches(name)
    }

    /// Returns the one name that the pattern matches, if there is only one.
    fn literal(&self) -> Option<&str> {
        Some(&*self.1).filter(|text| !text.contains(['*', '?']))
    }
}

impl From<String> for Glob {
    fn from(text: String) -> Self {
        Self(WildMatch::new(&text), text)
    }
}

/// Networks whose addresses may be used although nothing forwards them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// The routers, by their names.
    router: Glob,
    /// The networks.
    prefixes: Vec<ipnet::IpNet>,
}

impl Allow {
    /// Returns whether the address may be used on the router of that name.
    pub fn permits(&self, router: &str, address: IpAddr) -> bool {
        self.router.matches(router) && self.prefixes.iter().any(|prefix| prefix.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names { port: "web-1", switch: Some("net7"), routers: &["r7", "r0"] };

    fn wish(text: &str, family: Family) -> Option<String> {
        let wish = Policy::parse(text).unwrap().wish(family, NAMES)?;
        Some(wish.map_or_else(|| "none".to_owned(), |wanted| wanted.to_string()))
    }

    #[test]
    fn first_matching_rule_with_the_family_decides() {
        let text = r#"
            [[rule]]
            port = "db-*"
            ipv4 = "203.0.113.1"
            [[rule]]
            port = "web-?"
            router = "r7"
            ipv4 = "auto"
            [[rule]]
            switch = "net*"
            ipv4 = "203.0.113.2"
            ipv6 = "none"
            [[rule]]
            port = "*"
            ipv6 = "2001:DB8::1"
        "#;
        assert_eq!(wish(text, Family::V4).as_deref(), Some("auto"));
        assert_eq!(wish(text, Family::V6).as_deref(), Some("none"));
        assert_eq!(wish("[[rule]]\nrouter = \"x\"\nipv4 = \"auto\"", Family::V4), None);
        assert_eq!(wish("", Family::V4), None);
    }

    #[test]
    fn policy_error_names_its_line() {
        for (text, line, why) in [
            ("[[rule]]\nport = \"*\"\nipv4 = \"2001:db8::1\"", 3, "is not an IPv4 address"),
            ("[[rule]]\nport = \"*\"\nipv6 = \"web\"", 3, "is not an IPv6 address"),
            ("[[rule]]\nport = \"*\"", 1, "needs one of ipv4 and ipv6"),
            ("\n[[rule]]\nipv4 = \"auto\"", 2, "use port = \"*\""),
            ("[[rule]]\nports = \"*\"\nipv4 = \"auto\"", 2, "unknown field `ports`"),
            ("[[rules]]\nport = \"*\"", 1, "unknown field `rules`"),
            ("[[rule]]\nport = 5\nipv4 = \"auto\"", 2, "invalid type"),
            ("[[rule]\n", 1, ""),
        ] {
            let error = Policy::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line},")) && error.contains(why), "{text}\n{error}");
        }
    }

    #[test]
    fn named_ports_are_those_of_rules_without_patterns() {
        let text = "[[rule]]\nport = \"a\"\nipv4 = \"auto\"\nipv6 = \"none\"\n[[rule]]\nport = \"b*\"\nipv4 = \"auto\"";
        let policy = Policy::parse(text).unwrap();
        assert_eq!(policy.named_ports().collect::<Vec<_>>(), [("a", Family::V4, Wanted::Auto)]);
    }

    #[test]
    fn allowed_prefixes_apply_per_router() {
        let allow: Allow =
            toml::from_str("router = \"r*\"\nprefixes = [\"203.0.113.0/24\", \"2001:db8::/32\"]").unwrap();
        assert!(allow.permits("r1", "203.0.113.9".parse().unwrap()));
        assert!(allow.permits("r1", "2001:db8::9".parse().unwrap()));
        assert!(!allow.permits("x1", "203.0.113.9".parse().unwrap()));
        assert!(!allow.permits("r1", "198.51.100.9".parse().unwrap()));
    }
}
